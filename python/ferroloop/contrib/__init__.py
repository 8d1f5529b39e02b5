"""Glue for programs that cannot be told by a setting to use ferroloop, and exporters for those that watch it.

Nothing here is imported by ferroloop itself.

gunicorn      workers for ASGI applications
aiohttp       a gunicorn worker for aiohttp applications
granian       granian's command line and server
hypercorn     hypercorn's command line
pytest        pytest-asyncio and anyio
blockbuster   what the loop itself may do
prometheus    the numbers of loops and servers
opentelemetry the same
"""
