"""What all tests share."""

import asyncio

# pytest-asyncio 1.5 asks for the current loop before it makes its own; Python 3.11 then makes one that nobody closes.
asyncio.set_event_loop(None)
