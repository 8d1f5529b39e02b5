"""grpc.aio: unary calls, streams of all three kinds, errors, deadlines and cancellation."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from common import check_loop, raises, run


async def main(places: dict[str, Any]) -> None:
    cancelled = asyncio.Event()
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(cancelled),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            await unary(channel)
            await streams(channel)
            await failures(channel, cancelled)
    finally:
        await server.stop(grace=None)


def handlers(cancelled: asyncio.Event) -> grpc.GenericRpcHandler:
    """The service, on plain bytes: no generated code."""

    async def reverse(request: bytes, context: Any) -> bytes:
        check_loop(type(asyncio.get_running_loop()))
        if request == b"refuse":
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "refused")
        return request[::-1]

    async def count(request: bytes, context: Any) -> AsyncIterator[bytes]:
        try:
            for number in range(int(request)):
                yield b"%d" % number
                await asyncio.sleep(0)
        finally:
            cancelled.set()

    async def add(requests: AsyncIterator[bytes], context: Any) -> bytes:
        return b"%d" % sum([int(request) async for request in requests])

    async def echo(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    methods = {
        "Reverse": grpc.unary_unary_rpc_method_handler(reverse),
        "Count": grpc.unary_stream_rpc_method_handler(count),
        "Add": grpc.stream_unary_rpc_method_handler(add),
        "Echo": grpc.stream_stream_rpc_method_handler(echo),
    }
    return grpc.method_handlers_generic_handler("Test", methods)


async def unary(channel: grpc.aio.Channel) -> None:
    reverse = channel.unary_unary("/Test/Reverse")
    requests = [b"request %d" % number for number in range(500)]
    assert await asyncio.gather(*map(reverse, requests)) == [request[::-1] for request in requests]
    blob = bytes(range(256)) * 10_000
    assert await reverse(blob) == blob[::-1]


async def streams(channel: grpc.aio.Channel) -> None:
    numbers = [b"%d" % number for number in range(1000)]
    assert [reply async for reply in channel.unary_stream("/Test/Count")(b"1000")] == numbers
    assert await channel.stream_unary("/Test/Add")(iter(numbers)) == b"499500"
    call = channel.stream_stream("/Test/Echo")()
    for number in numbers:
        await call.write(number)
        assert await call.read() == number
    await call.done_writing()
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def failures(channel: grpc.aio.Channel, cancelled: asyncio.Event) -> None:
    with raises(grpc.aio.AioRpcError) as refused:
        await channel.unary_unary("/Test/Reverse")(b"refuse")
    assert (refused.error.code(), refused.error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "refused")
    cancelled.clear()
    call = channel.unary_stream("/Test/Count")(b"1000000000")
    assert await call.read() == b"0"
    call.cancel()
    with raises(asyncio.CancelledError):
        await call.read()
    await asyncio.wait_for(cancelled.wait(), 30)
    with raises(grpc.aio.AioRpcError) as late:
        async for _ in channel.unary_stream("/Test/Count")(b"1000000000", timeout=0.2):
            pass
    assert late.error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


run(main)
