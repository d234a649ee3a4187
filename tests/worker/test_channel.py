"""The channel between supervisor and loader: complete messages with their file descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from webdemo.worker.channel import Channel
from webdemo.worker.messages import Message


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    a, b = map(Channel, socket.socketpair())
    yield a, b
    a.close()
    b.close()


def take(channel: Channel, count: int) -> list[tuple[Message, list[int]]]:
    """Receive that many messages, however they arrive."""
    taken: list[tuple[Message, list[int]]] = []
    while len(taken) < count:
        channel.socket.settimeout(20)
        channel.socket.recv(1, socket.MSG_PEEK)
        taken += channel.receive()
    return taken


@pytest.fixture
def files() -> Iterator[list[int]]:
    """300 distinguishable descriptors: pipes, each of which contains its number."""
    opened = []
    for number in range(300):
        read, write = os.pipe()
        os.write(write, b"%d" % number)
        os.close(write)
        opened.append(read)
    yield opened
    for fd in opened:
        os.close(fd)


def content(descriptors: list[int]) -> list[int]:
    """Read the numbers in the pipes, and close them."""
    numbers = []
    for fd in descriptors:
        numbers.append(int(os.read(fd, 10)))
        os.close(fd)
    return numbers


def test_messages_arrive_whole_and_in_order(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    for number in range(50):
        a.send({"number": number, "text": "a\nb\r\x00é\u2028"})
    assert [message for message, _ in take(b, 50)] == [
        {"number": number, "text": "a\nb\r\x00é\u2028"} for number in range(50)
    ]


def test_with_nothing_there_nothing_is_waited_for(ends: tuple[Channel, Channel]) -> None:
    assert list(ends[0].receive()) == []


def test_a_message_larger_than_the_sockets_buffer_arrives_whole(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    message = {"text": "x" * 3_000_000}
    sender = threading.Thread(target=a.send, args=[message])
    sender.start()
    assert take(b, 1) == [(message, [])]
    sender.join()


def test_a_message_that_comes_in_pieces_is_one_message() -> None:
    theirs, ours = socket.socketpair()
    channel = Channel(ours)
    for piece in (b'{"a": ', b'1, "descrip', b'tors": 0}'):
        theirs.sendall(piece)
        assert list(channel.receive()) == []
    theirs.sendall(b'\n{"a": 2, "descriptors": 0}\n{"a')
    assert list(channel.receive()) == [({"a": 1}, []), ({"a": 2}, [])]
    theirs.close()
    channel.close()


def test_three_hundred_descriptors_arrive_with_their_message_and_in_order(
    ends: tuple[Channel, Channel], files: list[int]
) -> None:
    a, b = ends
    a.send({"name": "first"}, files[:1])
    a.send({"name": "all"}, files[1:])
    a.send({"name": "none"})
    first, all_, none = take(b, 3)
    assert (first[0], all_[0], none[0]) == ({"name": "first"}, {"name": "all"}, {"name": "none"})
    assert content(first[1]) == [0]
    assert not any(os.get_inheritable(fd) for fd in all_[1])
    assert content(all_[1]) == list(range(1, 300))
    assert none[1] == []


def test_messages_that_are_not_taken_come_first_the_next_time(
    ends: tuple[Channel, Channel], files: list[int]
) -> None:
    a, b = ends
    a.send({"number": 1}, files[:1])
    a.send({"number": 2}, files[1:2])
    got: list[tuple[Message, list[int]]] = []
    while len(got) < 1:
        for message, descriptors in b.receive():
            got.append((message, content(descriptors)))
            break
    got += [(message, content(descriptors)) for message, descriptors in take_left(b)]
    assert got == [({"number": 1}, [0]), ({"number": 2}, [1])]


def take_left(channel: Channel) -> list[tuple[Message, list[int]]]:
    left: list[tuple[Message, list[int]]] = []
    while not left:
        left += channel.receive()
    return left


def test_what_was_said_before_the_end_is_heard_and_then_the_end(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    a.send({"last": True})
    a.close()
    assert take(b, 1) == [({"last": True}, [])]
    with pytest.raises(EOFError):
        list(b.receive())


def test_a_peer_that_is_gone_with_our_words_unread_is_the_end_too(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    b.send({"unread": True})
    a.close()
    with pytest.raises(EOFError):
        list(b.receive())
    with pytest.raises(BrokenPipeError):
        b.send({})


def test_descriptors_that_were_not_taken_are_closed_with_the_channel() -> None:
    theirs, ours = socket.socketpair()
    channel = Channel(ours)
    read, write = os.pipe()
    socket.send_fds(theirs, [b"\n"], [write])
    os.close(write)
    assert list(channel.receive()) == []  # their message has not arrived
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)  # the channel holds the other end
    channel.close()
    assert os.read(read, 1) == b""
    os.close(read)
    theirs.close()


@pytest.mark.process
def test_descriptors_for_which_there_is_no_room_are_an_error_with_a_remedy_and_no_leak() -> None:
    code = """
import os, resource, socket
from webdemo import errors
from webdemo.worker.channel import Channel
a, b = map(Channel, socket.socketpair())
read, write = os.pipe()
a.send({"number": 1}, [write] * 50)
a.send({"number": 2})
before = len(os.listdir("/dev/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
got = []
while not got:
    try:
        got += b.receive()
    except errors.TooManyFiles as error:
        print(error)
print(got, len(os.listdir("/dev/fd")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "The limit of open files leaves no room for 50 descriptors.",
        "Raise it (ulimit -n), or listen in fewer places.",
        "[({'number': 2}, [])] 0",
    ], done.stderr
