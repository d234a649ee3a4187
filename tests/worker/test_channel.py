"""The channel between supervisor and loader: complete messages with their file descriptors."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from webdemo.worker import channel
from webdemo.worker.codec import Codec, InvalidMessage


class Text(NamedTuple):
    text: str = ""
    number: int = 0


CODEC = Codec("do", Text)
Channel = channel.Channel[Text, Text]


def end(sock: socket.socket) -> Channel:
    return channel.Channel(sock, CODEC, CODEC)


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    a, b = map(end, socket.socketpair())
    yield a, b
    a.close()
    b.close()


def take(channel: Channel, count: int) -> list[tuple[Text, list[int]]]:
    """Receive that many messages, however they arrive."""
    taken: list[tuple[Text, list[int]]] = []
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
        a.send(Text("a\nb\r\x00é\u2028", number))
    assert [message for message, _ in take(b, 50)] == [
        Text("a\nb\r\x00é\u2028", number) for number in range(50)
    ]


def test_with_nothing_there_nothing_is_waited_for(ends: tuple[Channel, Channel]) -> None:
    assert list(ends[0].receive()) == []


def test_a_message_larger_than_the_sockets_buffer_arrives_whole(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    message = Text("x" * 3_000_000)
    sender = threading.Thread(target=a.send, args=[message])
    sender.start()
    assert take(b, 1) == [(message, [])]
    sender.join()


def test_a_message_that_comes_in_pieces_is_one_message() -> None:
    theirs, ours = socket.socketpair()
    ours_end = end(ours)
    for piece in (b'0 {"do": ', b'"text", "num', b'ber": 1}'):
        theirs.sendall(piece)
        assert list(ours_end.receive()) == []
    theirs.sendall(b'\n0 {"do": "text", "number": 2}\n0 {"d')
    assert list(ours_end.receive()) == [(Text(number=1), []), (Text(number=2), [])]
    theirs.close()
    ours_end.close()


def test_foreign_bytes_are_refused_and_what_comes_after_them_arrives() -> None:
    theirs, ours = socket.socketpair()
    ours_end = end(ours)
    for line in (
        b"junk",
        b'{"do": "text"}',
        b"-1 {}",
        b"0 ",
        b"1" * 5000 + b" {}",
        b"\xff\0",
        b'0 {"do": "x"}',
    ):
        theirs.sendall(line + b'\n0 {"do": "text", "number": 1}\n')
        with pytest.raises(InvalidMessage):
            list(ours_end.receive())
        assert next(ours_end.receive()) == (Text(number=1), [])
    theirs.close()
    ours_end.close()


def test_three_hundred_descriptors_arrive_with_their_message_and_in_order(
    ends: tuple[Channel, Channel], files: list[int]
) -> None:
    a, b = ends
    a.send(Text("first"), files[:1])
    a.send(Text("all"), files[1:])
    a.send(Text("none"))
    first, all_, none = take(b, 3)
    assert (first[0], all_[0], none[0]) == (Text("first"), Text("all"), Text("none"))
    assert content(first[1]) == [0]
    assert not any(os.get_inheritable(fd) for fd in all_[1])
    assert content(all_[1]) == list(range(1, 300))
    assert none[1] == []


def test_messages_that_are_not_taken_come_first_the_next_time(
    ends: tuple[Channel, Channel], files: list[int]
) -> None:
    a, b = ends
    a.send(Text(number=1), files[:1])
    a.send(Text(number=2), files[1:2])
    got: list[tuple[Text, list[int]]] = []
    while len(got) < 1:
        for message, descriptors in b.receive():
            got.append((message, content(descriptors)))
            break
    got += [(message, content(descriptors)) for message, descriptors in take_left(b)]
    assert got == [(Text(number=1), [0]), (Text(number=2), [1])]


def take_left(channel: Channel) -> list[tuple[Text, list[int]]]:
    left: list[tuple[Text, list[int]]] = []
    while not left:
        left += channel.receive()
    return left


def test_what_was_said_before_the_end_is_heard_and_then_the_end(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    a.send(Text("last"))
    a.close()
    assert take(b, 1) == [(Text("last"), [])]
    with pytest.raises(EOFError):
        list(b.receive())


def test_a_peer_that_is_gone_with_our_words_unread_is_the_end_too(ends: tuple[Channel, Channel]) -> None:
    a, b = ends
    b.send(Text("unread"))
    a.close()
    with pytest.raises(EOFError):
        list(b.receive())
    with pytest.raises(BrokenPipeError):
        b.send(Text())


def test_descriptors_that_were_not_taken_are_closed_with_the_channel() -> None:
    theirs, ours = socket.socketpair()
    ours_end = end(ours)
    read, write = os.pipe()
    socket.send_fds(theirs, [b"\n"], [write])
    os.close(write)
    assert list(ours_end.receive()) == []  # their message has not arrived
    os.set_blocking(read, False)
    with pytest.raises(BlockingIOError):
        os.read(read, 1)  # the channel holds the other end
    ours_end.close()
    assert os.read(read, 1) == b""
    os.close(read)
    theirs.close()


@pytest.mark.process
def test_descriptors_for_which_there_is_no_room_are_an_error_with_a_remedy_and_no_leak() -> None:
    code = """
import os, resource, socket
from tests.worker.test_channel import Text, end
from webdemo import errors
a, b = map(end, socket.socketpair())
read, write = os.pipe()
a.send(Text(number=1), [write] * 50)
a.send(Text(number=2))
before = len(os.listdir("/dev/fd"))
resource.setrlimit(resource.RLIMIT_NOFILE, (before + 20, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
got = []
while not got:
    try:
        got += b.receive()
    except errors.PortUnavailable as error:
        print(error)
print(got, len(os.listdir("/dev/fd")) - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines() == [
        "The limit of open files leaves no room for 50 descriptors.",
        "Raise it (ulimit -n), or listen in fewer places.",
        "[(Text(text='', number=2), [])] 0",
    ], done.stderr
