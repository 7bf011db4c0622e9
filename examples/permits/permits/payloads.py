"""What the jobs are given, and what they return."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Application(BaseModel):
    """An application for a building permit; `email` since version 2."""

    applicant: str
    email: str
    account: str
    parcel: str = Field(min_length=1, max_length=40)
    ward: int = Field(ge=1)
    storeys: int = Field(ge=1)


class Granted(BaseModel):
    """A permit that was granted."""

    permit: str


class Fee(BaseModel):
    """What a permit costs, and who pays."""

    permit: str
    account: str
    cents: int = Field(ge=1)


class Document(BaseModel):
    """The permit that is to be drawn up."""

    permit: str


class Notice(BaseModel):
    """A message to one citizen."""

    to: str
    text: str
    ward: int


class Announcement(BaseModel):
    """What all citizens of a ward are told."""

    ward: int
    text: str


class Night(BaseModel):
    """The numbers of one night."""

    permits: int
    cents: int
    complaints: int
