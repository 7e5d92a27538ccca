"""Rebuild the course's passages and word vocabulary from WordNet 3.0. Needed only to change them: the results are in git.

    apt-get download wordnet-base && dpkg -x wordnet-base_*.deb wordnet
    python assets/make_corpus.py --wordnet wordnet/usr/share/wordnet

Writes corpus.jsonl.gz (id, title, text, category, price), corpus_embeddings.npy and vocabulary.npz beside this file.
Titles and texts are WordNet's, unedited but for the title in front; the prices are invented (seeded by the title).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from aieng.models.minilm import MiniLM, load_minilm

ASSETS = Path(__file__).resolve().parent
GLOSS_LENGTH = (60, 400)  # characters

# category: (how many, lexicographer files, roots of which a synset must be a kind, only named individuals?)
CATEGORIES: dict[str, tuple[int, set[str], set[str], bool]] = {
    "clothing": (330, {"06"}, {"clothing", "footwear", "headdress", "jewelry", "accoutrement", "cloth"}, False),
    "vehicle": (160, {"06"}, {"vehicle"}, False),
    "building": (210, {"06"}, {"building", "bridge", "fortification", "memorial", "shop", "tower", "theater"}, False),
    "object": (
        520,
        {"06"},
        {
            "container", "furnishing", "implement", "musical_instrument", "bedclothes", "lamp", "home_appliance",
            "utensil", "tableware", "toy", "timepiece", "game_equipment", "measuring_instrument", "cloth_covering",
            "optical_device", "optical_instrument", "lighter", "heater", "lock", "camera", "electronic_equipment",
        },
        False,
    ),
    "food": (470, {"13"}, set(), False),
    "animal": (460, {"05"}, {"animal"}, False),
    "plant": (330, {"20"}, {"plant", "fungus", "tree"}, False),
    "myth": (90, {"18"}, {"deity", "mythical_being", "imaginary_being", "spiritual_being"}, False),
    "person": (430, {"18"}, {"person"}, True),
    "place": (380, {"15"}, set(), True),
    "body": (150, {"08"}, {"body_part", "body_substance", "body_structure", "tissue"}, False),
    "event": (
        110,
        {"04", "11"},
        {"battle", "war", "siege", "ceremony", "contest", "holiday", "festival", "party", "race", "disaster"},
        False,
    ),
    "sport": (90, {"04"}, {"sport", "game", "dance", "dancing"}, False),
    "substance": (170, {"27"}, set(), False),
    "nature": (
        250,
        {"17", "19"},
        {
            "celestial_body", "constellation", "galaxy", "geological_formation", "body_of_water", "land",
            "atmospheric_phenomenon", "weather", "optical_phenomenon", "electrical_phenomenon", "ice_mass", "rainbow",
        },
        False,
    ),
}  # fmt: skip

# Passages that the notebooks ask for, by WordNet's lemma; taken whatever their rank.
WANTED: dict[str, str] = {
    "clothing": "sundress overcoat sandal kimono sombrero mitten scarf wet_suit",
    "vehicle": "ambulance gondola submarine tandem caravan",
    "building": "lighthouse library planetarium observatory greenhouse",
    "object": "thermos chafing_dish bain-marie blanket bassoon hourglass teapot wok hammock",
    "food": "gazpacho bouillabaisse hummus sushi ice_cream sauerkraut guacamole minestrone croissant tofu",
    "animal": "aardvark penguin kiwi emu echidna giraffe honeybee platypus hummingbird chameleon beaver emperor_penguin",
    "plant": "saguaro Venus's_flytrap bamboo edelweiss rosemary olive mangrove",
    "person": "Einstein Curie Darwin Mozart Shakespeare Newton Galileo Turing Gandhi Champollion Columbus Armstrong "
    "Alexander_Graham_Bell Edison Gutenberg Nightingale Pasteur Picasso Ludwig_van_Beethoven Magellan Lincoln "
    "Copernicus Kepler Michelangelo Verne "
    "Alexander_Fleming Cleopatra",
    "place": "Paris Berlin Rome Tokyo Athens Vienna Cairo Venice London Madrid Canberra Reykjavik Iceland Egypt Japan "
    "Sahara Alexandria Pompeii Strasbourg Brussels Geneva Versailles Vesuvius Etna",
    "myth": "Zeus unicorn phoenix Santa_Claus Thor centaur",
    "body": "heart kidney lung retina femur aorta pancreas Achilles_tendon cochlea",
    "event": "battle_of_Hastings Waterloo",
    "sport": "chess football cricket tango",
    "substance": "gold oxygen helium amber diamond",
    "nature": "Jupiter Saturn Mars Venus Mercury Neptune Uranus Earth sun moon Nile aurora "
    "Milky_Way Grand_Canyon Sirius rainbow tornado hurricane Danube Amazon",
}  # fmt: skip

# Invented prices, in euros, from and to: the first root that a synset is a kind of, else its category's own.
PRICES: dict[str, list[tuple[str, float, float]]] = {
    "clothing": [("jewelry", 19, 320), ("footwear", 29, 190), ("headdress", 12, 75), ("cloth", 6, 40), ("", 9, 160)],
    "object": [
        ("musical_instrument", 39, 900), ("furniture", 60, 850), ("electronic_equipment", 45, 600),
        ("home_appliance", 25, 480), ("optical_instrument", 30, 500), ("timepiece", 15, 350), ("bedclothes", 18, 140),
        ("measuring_instrument", 12, 180), ("bag", 12, 140), ("cutlery", 2, 18), ("toy", 5, 45), ("tool", 6, 70),
        ("vessel", 4, 60), ("", 5, 90),
    ],
    "food": [("alcohol", 4, 38), ("beverage", 1.5, 14), ("", 1.5, 18)],
    "plant": [("tree", 15, 120), ("", 2.5, 30)],
}  # fmt: skip

# Slurs, sexual matters, atrocities and words that people are no longer called by.
UNFIT = re.compile(
    r"\b(slur|offensive|derogatory|disparag\w*|vulgar\w*|obscen\w*|sex\w*|erotic\w*|porn\w*|prostitut\w*|whore\w*|"
    r"brothel\w*|genital\w*|penis|penile|vagina\w*|vulva\w*|clitori\w*|anus|anal|rectum|scrot\w*|testic\w*|testis|semen|"
    r"copulat\w*|coitus|intercourse|intimate|nipple\w*|breasts?|buttocks?|bosom|nud\w+|naked|menstru\w*|contracepti\w*|"
    r"condom\w*|masturbat\w*|homosexual\w*|rape[ds]?|rapist|incest\w*|fetish\w*|lewd|lecher\w*|urin\w*|feces|fecal|"
    r"excrement|dung|tortur\w*|genocid\w*|nazi\w*|murder\w*|assassinat\w*|execut(?:e|ed|ion|ioner)|massacre\w*|"
    r"suicid\w*|lynch\w*|slave\w*|klan|terroris\w*|negr\w*|nigg\w*|primitive people|savages?|eskimos?|mongoloid\w*|"
    r"gyps\w+|oriental|hottentot\w*|half-breed|cripple\w*|lunatic\w*|retard\w*|midget\w*|dwarf\w*|idiot\w*|imbecile|"
    r"races of people|different races|jihad\w*|fundamentalis\w*|drug traffick\w*|heathen|pagan|bastard|bitch|damn\w*|"
    r"ass|tit|tits|cock|dick|pussy|fag\w*|dyke|queer|spic|chink|jap|kike|wop|"
    r"cannabis|marijuana|heroin|cocaine|opium|hashish|corset for|kill\w*|corpse\w*|aborti\w*)\b",
    re.IGNORECASE,
)
TAXON = re.compile(r"\b(genus|genera|family|order|class|phylum|sub\w+|superfamily|tribe|division) (of|in|comprising)\b")


@dataclass
class Synset:
    """One meaning: its words, its definition, and what it is a kind (or an instance) of."""

    offset: str
    lexfile: str
    lemmas: list[str]
    gloss: str
    tags: int  # how often this sense was met in WordNet's tagged texts
    parents: list[str]
    is_instance: bool
    ancestors: set[str] = field(default_factory=set)  # first lemmas of everything above


def read_nouns(folder: Path, tags: Counter[str]) -> dict[str, Synset]:
    """Parse data.noun (format: wndb(5WN)) into synsets by byte offset, ancestors filled in."""
    synsets = {}
    for line in (folder / "data.noun").read_text(encoding="latin-1").splitlines():
        if line.startswith("  "):  # the licence, at the top
            continue
        head, gloss = line.split(" | ", 1)
        parts = head.split()
        count = int(parts[3], 16)
        words = parts[4 : 4 + 2 * count]
        keys = [f"{w.lower()}%1:{parts[1]}:{int(i, 16):02d}::" for w, i in zip(words[::2], words[1::2], strict=True)]
        pointers = parts[4 + 2 * count + 1 :]
        up = [pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in ("@", "@i")]
        synsets[parts[0]] = Synset(
            offset=parts[0],
            lexfile=parts[1],
            lemmas=words[::2],
            gloss=gloss.strip(),
            tags=sum(tags[key] for key in keys),
            parents=up,
            is_instance="@i" in pointers,
        )

    def fill(synset: Synset) -> set[str]:
        if not synset.ancestors:
            for parent in synset.parents:
                synset.ancestors |= set(synsets[parent].lemmas) | fill(synsets[parent])
        return synset.ancestors

    for synset in synsets.values():
        fill(synset)
    return synsets


def read_tags(folder: Path) -> Counter[str]:
    """Sense key to its count in the tagged texts (cntlist.rev)."""
    lines = (line.split() for line in (folder / "cntlist.rev").read_text(encoding="latin-1").splitlines())
    return Counter({key: int(count) for key, _, count in lines})


def readable(lemma: str) -> str:
    name = lemma.replace("_", " ")
    return name[0].upper() + name[1:]


def title_of(synset: Synset) -> str:
    """A readable name. WordNet lists people as "Einstein, Albert Einstein": there the second word is the usual name."""
    first, *others = synset.lemmas
    usual = others[0] if synset.lexfile == "18" and others and first in others[0] else first
    return readable(usual)


def usable(synset: Synset) -> bool:
    """Long enough to be searched for by meaning, no taxon, nothing that hurts."""
    low, high = GLOSS_LENGTH
    text = " ".join(synset.lemmas).replace("_", " ") + " " + synset.gloss
    return (
        low <= len(synset.gloss) <= high
        and not UNFIT.search(text)
        and not TAXON.search(synset.gloss)
        and "taxonomic_group" not in synset.ancestors
        and re.fullmatch(r"[A-Za-zÀ-ÿ][A-Za-zÀ-ÿ' .-]{2,40}", title_of(synset)) is not None
    )


def fits(synset: Synset, category: str) -> bool:
    _, lexfiles, roots, named = CATEGORIES[category]
    kinds = synset.ancestors | set(synset.lemmas)
    if category == "person" and fits(synset, "myth"):
        return False
    return synset.lexfile in lexfiles and (not roots or bool(roots & kinds)) and (synset.is_instance or not named)


def rank(synset: Synset, mentions: Counter[str]) -> float:
    """Prefer known things (tagged often, named in other definitions) and definitions that say something."""
    known = math.log1p(synset.tags) + math.log1p(max(mentions[w] for w in synset.lemmas))
    return known + 2.0 * min(len(synset.gloss), 200) / 100


def choose(synsets: dict[str, Synset]) -> Iterator[tuple[str, str, Synset]]:
    """Pick (category, title, synset): the wanted ones, then by rank until each category is full. Titles are unique."""
    mentions: Counter[str] = Counter()
    for synset in synsets.values():
        mentions.update(set(re.findall(r"[A-Za-z]{3,}", synset.gloss)))
    pool = [s for s in synsets.values() if usable(s)]
    titles: set[str] = set()
    used: set[str] = set()
    room = {}
    for category, (size, *_) in CATEGORIES.items():
        for lemma in WANTED[category].split():
            candidates = [s for s in synsets.values() if lemma in s.lemmas and fits(s, category) and len(s.gloss) >= 35]
            if not candidates:
                raise SystemExit(f"WordNet has no {category} passage for {lemma!r}")
            best = max(candidates, key=lambda s: (s.lemmas[0] == lemma, rank(s, mentions)))
            title = title_of(best) if best.lexfile == "18" and "_" not in lemma else readable(lemma)
            titles.add(title.lower())
            used.add(best.offset)
            size -= 1
            yield category, title, best
        room[category] = size
    for category, left in room.items():
        candidates = [s for s in pool if fits(s, category) and s.offset not in used]
        for synset in sorted(candidates, key=lambda s: (-rank(s, mentions), s.offset)):
            title = title_of(synset)
            if left and title.lower() not in titles:
                titles.add(title.lower())
                used.add(synset.offset)
                left -= 1
                yield category, title, synset


def invent_price(title: str, synset: Synset, category: str) -> float | None:
    """A made-up price in euros for what a shop could sell, the same on every run; None elsewhere."""
    if category not in PRICES:
        return None
    kinds = synset.ancestors | set(synset.lemmas) | {""}
    low, high = next((low, high) for root, low, high in PRICES[category] if root in kinds)
    share = int.from_bytes(hashlib.sha256(title.encode()).digest()[:6], "big") / 2**48
    price = low * (high / low) ** share  # even on a logarithmic scale, as prices are
    return round(math.ceil(price * 2) / 2 - 0.1, 2) if price < 20 else float(round(price))


def make_corpus(synsets: dict[str, Synset], model: MiniLM) -> None:
    chosen = sorted(choose(synsets), key=lambda choice: choice[1].lower())
    rows = [
        {
            "id": number,
            "title": title,
            "text": f"{title}: {synset.gloss}",
            "category": category,
            "price": invent_price(title, synset, category),
        }
        for number, (category, title, synset) in enumerate(chosen)
    ]
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    # No time in the header: the same passages give the same bytes.
    (ASSETS / "corpus.jsonl.gz").write_bytes(gzip.compress(lines.encode(), mtime=0))
    embeddings = model.encode([str(row["text"]) for row in rows], progress=True)
    np.save(ASSETS / "corpus_embeddings.npy", embeddings.astype(np.float16))
    print(len(rows), "passages", dict(Counter(category for category, *_ in chosen).most_common()))


# Words that the analogies ask for: relations come in pairs, and a pair needs both its words.
PAIRS = """
man woman king queen prince princess actor actress brother sister father mother uncle aunt son daughter husband wife
boy girl nephew niece grandfather grandmother waiter waitress hero heroine emperor empress duke duchess lord lady
groom bride sir madam gentleman steward stewardess god goddess monk nun bull cow rooster hen lion lioness horse mare
dog puppy cat kitten sheep lamb goat duck goose deer pig piglet bear cub he she him her his hers paris france berlin
germany rome italy madrid spain tokyo japan london england lisbon portugal vienna austria athens greece moscow russia
beijing china cairo egypt ottawa canada canberra australia oslo norway stockholm sweden copenhagen denmark helsinki
finland warsaw poland budapest hungary prague dublin ireland brussels belgium amsterdam netherlands bern switzerland
ankara turkey delhi india bangkok thailand hanoi vietnam seoul korea havana cuba lima peru nairobi kenya baghdad iraq
tehran iran kabul afghanistan bucharest romania sofia bulgaria washington america britain scotland edinburgh french
german italian spanish japanese english portuguese austrian greek russian chinese egyptian canadian australian
norwegian swedish danish finnish polish hungarian irish belgian dutch swiss turkish indian vietnamese korean cuban
europe asia africa euro dollar yen pound peso rouble rupee walk walking walked swim swimming swam run running ran sing
singing sang dance dancing danced write writing wrote read reading eat eating ate drink drinking drank fly flying flew
sleep sleeping slept think thinking thought play playing played jump jumping jumped speak speaking spoke drive driving
drove big bigger biggest small smaller smallest good better best bad worse worst fast faster fastest slow slower
slowest high higher highest low lower lowest long longer longest short shorter shortest old older oldest young younger
youngest strong stronger strongest weak weaker cold colder coldest hot hotter hottest happy unhappy possible
impossible known unknown cars dogs cats cows houses children child men women mice mouse feet foot teeth tooth geese
banana bananas apple apples doctor hospital teacher school chef kitchen pilot plane captain ship judge court farmer
farm baker bread painter painting composer poet sculptor physicist chemist nurse soldier carpenter plumber tailor
engineer lawyer scientist singer dancer breakfast lunch dinner soup salad cheese wine beer coffee tea water milk sugar
salt pepper lemon orange grape tomato potato carrot onion garlic rice pasta pizza cake chocolate butter egg fish
chicken beef pork monday tuesday wednesday thursday friday saturday sunday january february march april may june july
august september october november december spring summer autumn winter morning evening night day red green blue yellow
black white brown purple pink grey sun moon star planet earth mars venus jupiter saturn
"""
VOCABULARY_SIZE = 3000


def make_vocabulary(tags: Counter[str], model: MiniLM) -> None:
    """The words of PAIRS, filled up with the words that were tagged most often over all their senses."""
    counts: Counter[str] = Counter()
    for key, count in tags.items():
        counts[key.split("%")[0]] += count
    common = [w for w, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))]
    common = [w for w in common if re.fullmatch(r"[a-z]{3,14}", w) and not UNFIT.search(w)]
    wanted = dict.fromkeys(PAIRS.split())
    words = sorted([*wanted, *[w for w in common if w not in wanted][: VOCABULARY_SIZE - len(wanted)]])
    embeddings = model.encode(words, progress=True).astype(np.float16)
    np.savez(ASSETS / "vocabulary.npz", words=np.array(words), embeddings=embeddings)
    print(len(words), "words, of which", len(wanted), "are wanted")


def main() -> None:
    parser = argparse.ArgumentParser(description="Rebuild corpus and vocabulary from WordNet 3.0.")
    parser.add_argument("--wordnet", type=Path, required=True, help="folder with data.noun and cntlist.rev")
    folder = parser.parse_args().wordnet
    tags = read_tags(folder)
    model = load_minilm()
    make_corpus(read_nouns(folder, tags), model)
    make_vocabulary(tags, model)


if __name__ == "__main__":
    main()
