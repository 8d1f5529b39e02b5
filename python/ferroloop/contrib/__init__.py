"""Glue for programs that cannot be told by a setting to use ferroloop. Nothing here is imported by ferroloop itself.

gunicorn    workers for ASGI applications
aiohttp     a gunicorn worker for aiohttp applications
granian     granian's command line and server
hypercorn   hypercorn's command line
pytest      pytest-asyncio and anyio
blockbuster what the loop itself may do
"""
