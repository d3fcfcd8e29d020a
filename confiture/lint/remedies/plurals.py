"""Singular and plural forms of common table names. Words that are not listed count as unknown."""

from __future__ import annotations

_WORDS = """
account actor address album amount answer application appointment article artist asset assignment attachment
author badge batch bill book booking brand bucket budget campaign card cart category certificate channel
charge city claim client code comment company config connection contact contract country course credit cursor
customer dashboard deal delivery department deposit device discount document domain driver email employee
event exam example feature file filter flag folder friend game grade group guest holiday image import incident
ingredient integration invitation invoice issue item job key label language layer lead lesson license like
line link list location lock machine manager member membership merchant message metric model module month
movie note notification offer office option order organization owner package page parcel partner party patient
payment payout permission phone photo plan player playlist policy position post price problem process product
profile project promotion property purchase question queue quote rating reaction receipt recipe record refund
region relation reminder report request reservation resource response result review reward role room route
rule sale schedule school score season section segment sender service session shipment shop size skill slot
song source state statement step store street student subscription supplier survey table tag task teacher team
template tenant ticket token tool topic track transaction transfer transition trip type unit upload user value
variant vehicle vendor venue version video view visit voucher wallet warehouse webhook week wish worker
workspace year zone
"""
_IRREGULAR = {"person": "people", "child": "children", "man": "men", "woman": "women", "status": "statuses"}


def _regular_plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return word + "es"
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + "s"


_PLURALS = {word: _regular_plural(word) for word in _WORDS.split()} | _IRREGULAR
_SINGULARS = {plural: word for word, plural in _PLURALS.items()}


def to_plural(word: str) -> str | None:
    """Return the plural of a word that is known to be singular; None for other words."""
    return _PLURALS.get(word)


def to_singular(word: str) -> str | None:
    """Return the singular of a word that is known to be plural; None for other words."""
    return _SINGULARS.get(word)
