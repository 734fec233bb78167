"""Conversations in memory: their messages, and an uploaded picture until the next question."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass, field

import glmv

MOST_CHATS = 200  # the one that was quiet for longest is forgotten
MOST_TURNS = 12  # of each; older turns, and their pictures, are forgotten


@dataclass
class Chat:
    """One conversation. Only whole turns are added, so a question that failed can be asked again."""

    turns: list[tuple[glmv.Message, glmv.Message]] = field(default_factory=list)
    picture: glmv.Image | None = None
    busy: bool = False

    def question(self, text: str) -> glmv.Message:
        """The next message of the user, with the uploaded picture."""
        return glmv.Message("user", [part for part in (self.picture, text) if part is not None])

    def messages(self, question: glmv.Message) -> list[glmv.Message]:
        return [*(message for turn in self.turns for message in turn), question]

    def add(self, question: glmv.Message, answer: str) -> None:
        self.turns = [*self.turns, (question, glmv.Message("assistant", answer))][-MOST_TURNS:]
        self.picture = None


class Chats:
    """All conversations, by names that cannot be guessed."""

    def __init__(self) -> None:
        self._chats: OrderedDict[str, Chat] = OrderedDict()

    def new(self) -> str:
        name = secrets.token_urlsafe(16)
        self._chats[name] = Chat()
        while len(self._chats) > MOST_CHATS:
            self._chats.popitem(last=False)
        return name

    def find(self, name: str) -> Chat | None:
        if name in self._chats:
            self._chats.move_to_end(name)
        return self._chats.get(name)
