"""Made-up texts: sentences of a few topics, each in several languages, and a manifest of them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.encoders import tiny_tokenizer
from tests.tiny import tiny_params

TOPICS = {
    "games": {
        "en": "game player level score board play",
        "de": "Spiel Spieler Stufe Punkte Brett spielen",
        "fr": "jeu joueur niveau points plateau jouer",
        "it": "gioco giocatore livello punteggio scacchiera giocare",
    },
    "net": {
        "en": "server network mail address protocol send",
        "de": "Dienst Netzwerk Nachricht Adresse Protokoll senden",
        "fr": "serveur réseau courrier adresse protocole envoyer",
        "it": "servitore rete posta indirizzo protocollo inviare",
    },
    "sound": {
        "en": "music sound volume song record listen",
        "de": "Musik Klang Lautstärke Lied Aufnahme hören",
        "fr": "musique son volume chanson enregistrement écouter",
        "it": "musica suono volume canzone registrazione ascoltare",
    },
    "text": {
        "en": "letter word editor page font write",
        "de": "Buchstabe Wort Editor Seite Schrift schreiben",
        "fr": "lettre mot éditeur page police écrire",
        "it": "lettera parola redattore pagina carattere scrivere",
    },
}
FILLERS = {
    "en": "the with for small new and fast",
    "de": "der mit für kleine neue und schnelle",
    "fr": "le avec pour petit nouveau et rapide",
    "it": "il con per piccolo nuovo e veloce",
}
LANGUAGES = tuple(FILLERS)


def sentence(topic: str, language: str, number: int, words: int = 6) -> str:
    """The sentence of that number on a topic; that of the same number in another language is its
    translation, word by word. About half of its words are of the topic."""
    stream = np.random.default_rng([number, *topic.encode()])
    of_topic, others = TOPICS[topic][language].split(), FILLERS[language].split()
    chosen = [
        (of_topic if pick < 0.5 or at == 0 else others)[int(word * 6)]
        for at, (pick, word) in enumerate(stream.random((words, 2)))
    ]
    return f"{' '.join(chosen)} {number}"


def texts(
    languages: tuple[str, ...] = LANGUAGES, of_each: int = 40, topics: tuple[str, ...] = (*TOPICS,)
) -> pd.DataFrame:
    """Columns ``text``, ``label`` (the topic) and ``context`` (the language); the sentences that
    are translations of each other have the same ``number``."""
    rows = [
        {
            "text": sentence(topic, language, number),
            "label": topic,
            "context": language,
            "number": number,
        }
        for language in languages
        for topic in topics
        for number in range(of_each)
    ]
    return pd.DataFrame(rows)


def write_texts(
    folder: Path,
    public: tuple[str, ...] = ("en",),
    devices: tuple[str, ...] = ("de", "de", "it", "it"),
    of_each: tuple[int, int] = (60, 20),
) -> pd.DataFrame:
    """A manifest of texts as a user might write one, ``manifest.csv`` in ``folder``: of each topic
    so many public sentences in each public language, and of each device, which is of a language and
    has two topics.

    Returns:
        Its rows.
    """
    rows = [texts(public, of_each[0])]
    for device, language in enumerate(devices):
        own = tuple(np.roll([*TOPICS], -device)[:2].tolist())
        numbers = texts((language,), of_each[0] + (device + 1) * of_each[1], own)
        mine = numbers[numbers["number"] >= of_each[0] + device * of_each[1]]
        rows.append(mine.assign(device=f"device-{device:02d}"))
    listed = pd.concat(rows, ignore_index=True).drop(columns="number")
    folder.mkdir(parents=True, exist_ok=True)
    listed.to_csv(folder / "manifest.csv", index=False)
    return listed


def write_tokenizer(folder: Path, known: Iterable[str] = (), **changes: Any) -> None:
    """The files of an encoder but for its weights, by which texts are divided and settings checked;
    it has all words of the texts ``known``, and ``changes`` are to its configuration."""
    config = {
        "model_type": "bert",
        "vocab_size": tiny_tokenizer(folder, known),
        "hidden_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 64,
        "pad_token_id": 0,
        **changes,
    }
    (folder / "config.json").write_text(json.dumps(config))


def text_params() -> dict[str, Any]:
    """The tiny settings, of texts that devices bring themselves."""
    params = tiny_params()
    params["data"] |= {"source": "manifest", "encoder": "tiny", "length": 12, "test_fraction": 0.25}
    params["partition"] |= {"samples_per_device": 0, "slots": None}
    params["partition"] |= {"public_train": 120, "public_val": 40, "public_test": 40}
    params["backbone"]["cnn"]["epochs"] = 0
    return params
