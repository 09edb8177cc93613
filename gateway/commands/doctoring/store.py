"""The store, whichever it is."""

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine
from gateway.commands.doctoring.redis import redis_store
from gateway.commands.doctoring.sqlite import sqlite_store


async def store(patient: Patient) -> list[Finding]:
    settings = patient.config.state
    if settings is None:
        says = "there is no store: no token can be revoked before it ends"
        return [advice("store", says, "configure state, if a logout shall take effect at once")]
    if settings.place.kind == "sqlite":
        return [fine("store", "sessions are kept in a file"), *sqlite_store(patient.directory / settings.place.path)]
    return await redis_store(settings, patient)
