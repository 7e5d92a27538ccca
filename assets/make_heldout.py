"""Rebuild the held-out text on which section 05 measures perplexity. Needed only to change it: the result is in git.

    apt-get download dict-devil && dpkg -x dict-devil_*.deb devil
    python assets/make_heldout.py --devil devil/usr/share/dictd/devil.dict.dz

Writes heldout.txt.gz beside this file: prose definitions of Ambrose Bierce's The Devil's Dictionary (1911, public domain), one a
paragraph, in the book's order. Verses are left out, and so are entries about peoples, sex and atrocities, by a word list.
"""

from __future__ import annotations

import argparse
import gzip
import re
from pathlib import Path

from make_corpus import UNFIT

ASSETS = Path(__file__).resolve().parent
LENGTH = 112_000  # characters, about 26,000 of SmolLM2's tokens
PEOPLES = re.compile(r"\b(aborig\w*|arabs?|bushm\w*|chinam\w*|christians?|dagos?|ethiop\w*|female|irish\w*|jew\w*|moham\w*|moors?|"
                     r"mormon\w*|moslem\w*|turks?|wom[ae]n\w*|wives|wife|witch\w*)\b", re.IGNORECASE)


def entries(text: str) -> list[str]:
    """Each entry's prose on one line; the headwords are in capitals at the beginning of a line."""
    body = text[text.index("ABASEMENT, n.") :]
    found = []
    for entry in re.split(r"\n(?=[A-Z][A-Z' -]+, [a-z.]+)", body):
        prose = [line for line in re.split(r"\n\s*\n", entry) if line and not line.startswith("    ")]
        line = " ".join(" ".join(prose).split())
        if re.match(r"[A-Z' -]+, (n|v|adj|adv)\.", line) and 60 < len(line) < 1500:
            found.append(line.replace("[sic] ", "").replace("_", ""))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devil", type=Path, required=True, help="devil.dict.dz of the Debian package dict-devil")
    source = gzip.decompress(parser.parse_args().devil.read_bytes()).decode("latin-1")
    kept: list[str] = []
    for line in entries(source):
        if not UNFIT.search(line) and not PEOPLES.search(line):
            kept.append(line)
        if sum(map(len, kept)) > LENGTH:
            break
    data = "\n\n".join(kept).encode("utf-8")
    with (ASSETS / "heldout.txt.gz").open("wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0) as packed:
        packed.write(data)
    print(f"{len(kept)} entries, {len(data):,} bytes")


if __name__ == "__main__":
    main()
