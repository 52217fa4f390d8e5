"""A client in another language, written from docs/protocol.md alone.

    client.py play URL      logs in, creates a character, plays, and prints what it last saw as one JSON line
    client.py verify URL    reads that line, logs in again and finds the same state

Needs the packages websockets and msgpack. Exits with an assertion where the server does not keep the contract.
"""

import json
import random
import sys
import urllib.error
import urllib.request

import msgpack
from websockets.sync.client import connect

NAME, PASSWORD = "pythia", "a snake of sorts"


def http(method, url, body=None, token=None):
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, headers, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.load(answer) if answer.status != 204 else None
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Socket:
    """One connection: sends frames, and hands out the answers by the id that they carry."""

    def __init__(self, url, token):
        self.socket = connect(
            url,
            additional_headers={"Authorization": f"Bearer {token}"},
            subprotocols=["castellan.v1.msgpack"],
            compression=None,
        )
        assert self.socket.subprotocol == "castellan.v1.msgpack"
        kind, self.welcome = self.receive()
        assert kind == "welcome" and self.welcome["protocol"] == 1, self.welcome
        self.next_id = random.randrange(1, 2**52)
        self.durable = {}

    def receive(self):
        frame = msgpack.unpackb(self.socket.recv(timeout=20))
        assert isinstance(frame, dict) and len(frame) == 1, frame
        return next(iter(frame.items()))

    def send(self, kind, **fields):
        self.next_id += 1
        self.socket.send(msgpack.packb({kind: {"id": self.next_id, **fields}}))
        return self.next_id

    def answer(self, wanted):
        while True:
            kind, fields = self.receive()
            if kind == "durable":
                for character, version in fields["versions"].items():
                    assert version >= self.durable.get(character, 0), "a durable version fell"
                    self.durable[character] = version
            elif fields.get("id") == wanted:
                return kind, fields

    def ask(self, kind, **fields):
        return self.answer(self.send(kind, **fields))


def login(url):
    body = {"username": NAME, "password": PASSWORD, "create": True}
    status, session = http("POST", f"{url}/session/login", body)
    assert status == 200 and session["token_type"] == "Bearer", (status, session)
    return session


def play(url):
    session = login(url)
    token = session["token"]
    sheet = {
        "name": "Brannor",
        "race": "dwarf",
        "subrace": "hill-dwarf",
        "class": "paladin",
        "abilities": {"str": 15, "dex": 10, "con": 14, "int": 8, "wis": 12, "cha": 13},
        "skills": ["athletics", "persuasion"],
    }
    status, character = http("POST", f"{url}/characters", sheet, token)
    assert status == 201 and character["version"] == 1, (status, character)
    me = character["id"]

    first = Socket(session["socket_url"], token)
    assert [known["id"] for known in first.welcome["characters"]] == [me]
    kind, applied = first.ask("intent", character=me, expect=1, action={"equip_item": {"item": "chain-mail"}})
    assert kind == "applied" and applied["character"]["version"] == 2, (kind, applied)
    assert applied["character"]["derived"]["armor_class"] == 16

    second = Socket(session["socket_url"], token)
    kind, state = second.ask("watch", character=me)
    assert kind == "state" and state["character"]["version"] == 2
    kind, applied = first.ask("intent", character=me, expect=2.0, action={"modify_hitpoints": {"delta": -3}})
    assert kind == "applied" and applied["character"]["version"] == 3
    hurt = applied["character"]["hitpoints"]
    kind, pushed = second.receive()
    assert kind == "state" and pushed["character"] == applied["character"], "the watcher gets the same new state"

    kind, conflict = second.ask("intent", character=me, expect=2, action={"modify_hitpoints": {"delta": -3}})
    assert kind == "conflict" and conflict["character"] == applied["character"], "a conflict brings the whole state"
    last = conflict["character"]["last"]
    kind, applied = second.ask("intent", character=me, after=last, action={"modify_currency": {"gp": 42}})
    assert kind == "applied" and applied["character"]["currency"]["gp"] == 42
    assert applied["character"]["hitpoints"] == hurt

    repeated = applied["id"]
    second.socket.send(msgpack.packb({"intent": {
        "id": repeated, "character": me, "after": last, "action": {"modify_currency": {"gp": 42}}}}))
    kind, duplicate = second.answer(repeated)
    assert kind == "applied" and duplicate["duplicate"] is True
    assert duplicate["character"]["currency"]["gp"] == 42, "the same id is applied once"

    kind, refused = second.ask("intent", character=me, after=repeated, action={"modify_hitpoints": {"delta": "ten"}})
    assert (kind, refused["code"]) == ("rejected", "malformed") and "delta" in refused["message"], refused
    kind, refused = second.ask("intent", character=me, after=repeated, action={"fly": {}})
    assert (kind, refused["code"]) == ("rejected", "unknown_action"), refused

    kind, safe = second.ask(
        "intent", character=me, after=repeated, ack="durable", action={"rename": {"name": "Brannor the Scaled"}})
    assert kind == "applied" and safe["durable"] >= safe["character"]["version"] == 5, safe
    print(json.dumps(safe["character"]))


def verify(url):
    expected = json.loads(sys.stdin.readline())
    session = login(url)
    status, found = http("GET", f"{url}/characters/{expected['id']}", token=session["token"])
    assert status == 200, (status, found)
    assert found == expected, f"expected {expected}, found {found}"
    socket = Socket(session["socket_url"], session["token"])
    kind, state = socket.ask("fetch", character=expected["id"])
    assert kind == "state" and state["character"] == expected
    assert state["durable"] == expected["version"]


if __name__ == "__main__":
    {"play": play, "verify": verify}[sys.argv[1]](sys.argv[2].rstrip("/"))
