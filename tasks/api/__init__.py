"""The HTTP endpoint: one ASGI application, served by a process of its own or by the replicas of a Ray Serve deployment.

app        routes and what wraps them            service     what the routes work with
guard      request id, token, limits, logs        batching    requests that arrive together are searched together
bodies     what a request may hold                snapshot    the model, swapped by reference while it serves
journal    changes of the catalogue, durable      metrics     Prometheus
"""
