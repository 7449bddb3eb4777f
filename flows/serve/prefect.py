"""`python -m flows.serve.prefect server start ...`: Prefect's own command, with our access to its database."""

from prefect.cli import app

from flows.serve.database import one_writer

if __name__ == "__main__":
    one_writer()
    app()
