"""The synthetic shop: an assortment with texts, customers with tastes, and the files they leave behind."""
