"""Writes questions.json, the evaluation set of section 02's retrieval-augmented generation: python assets/make_questions.py.

Every answerable question was written by hand for one passage of corpus.jsonl.gz; this script refuses a question whose passage is missing
or does not contain an accepted answer. The unanswerable ones ask for what no passage says.
"""

from __future__ import annotations

import json
from pathlib import Path

from aieng.data.corpus import load_corpus

# question | accepted answers, separated by ; | the passage's title ("-": no passage answers it)
QUESTIONS = """
Who discovered penicillin?|Fleming|Alexander Fleming
Who developed the cyclotron?|Lawrence|E. O. Lawrence
Who discovered the two satellites of Mars?|Hall|Asaph Hall
Who founded Providence in 1636?|Williams|Roger Williams
Which explorer reached the South Pole just a month after Amundsen?|Scott|Robert Scott
Who conceived of the Turing machine?|Turing|Alan Turing
Which Swedish chemist invented dynamite?|Nobel|Alfred Nobel
Who is remembered for a burner used in laboratories and pioneered spectrum analysis with Kirchhoff?|Bunsen|Robert Bunsen
Which explorer discovered the strait between Alaska and Siberia for the Russians?|Bering|Vitus Bering
Which statesman founded Bolivia in 1825?|Bolivar|Simon Bolivar
Who first observed the movement of small particles in fluids?|Brown|Robert Brown
Which chemist developed an economical method of producing aluminum from bauxite?|Hall|Charles Martin Hall
Who invented the one step photographic process?|Land|Din Land
Which astronomer discovered infrared light and the planet Uranus?|Herschel|William Herschel
Who was the first wife of Henry VIII?|Catherine|Catherine of Aragon
Which painter patented the telegraph?|Morse|Samuel Morse
Who was the first wife of Prince Charles?|Diana|Princess Diana
Who proposed the exclusion principle in physics?|Pauli|Wolfgang Pauli
In which year did Captain Bligh's crew mutiny on the Bounty?|1789|William Bligh
Which politician arranged for the purchase of Alaska?|Seward|William Henry Seward
Who originated psychoanalysis?|Freud|Sigmund Freud
Which architect influenced the development of the skyscraper?|Gilbert|Cass Gilbert
Who developed a breakfast cereal of crisp flakes?|Kellogg|W. K. Kellogg
Who was the first to cross North America by land north of Mexico?|Mackenzie|Sir Alexander Mackenzie
Which United States city is the center of the automobile industry?|Detroit|Detroit
Which country was formerly called Rhodesia?|Zimbabwe|Zimbabwe
What is the capital of North Dakota?|Bismarck|Bismarck
On which island was the Minoan civilization?|Crete|Crete
What is the smallest sovereign state in the world?|Holy See;Vatican|Holy See
In which year did Tunisia become independent from France?|1956|Tunisia
Which port in Japan was hit by the second atomic bomb?|Nagasaki|Nagasaki
What is the largest city in Virginia?|Virginia Beach|Virginia Beach
In which year did Zimbabwe become independent?|1980|Zimbabwe
Which town in northern France is a ferry port to England?|Calais|Calais
Which city was the home of Lady Godiva?|Coventry|Coventry
What is the longest lake in the world?|Tanganyika|Lake Tanganyika
Which strait separates the European and Asian parts of Turkey?|Bosporus;Bosphorus|Bosporus
Which river made the Grand Canyon?|Colorado|Grand Canyon
Between the orbits of which planets are most asteroids found?|Mars;Jupiter|Asteroid
In which year was the IJsselmeer created?|1932|IJsselmeer
Which mountain range is part of the boundary between Europe and Asia?|Ural|Urals
In which year was the battle of Waterloo?|1815|Waterloo
Which battle of the Hundred Years' War was fought in 1346?|Crecy|Crecy
What causes a tsunami?|earthquake;volcan|Tsunami
Who flew too close to the sun with wings of wax?|Icarus|Icarus
Who is the Greek goddess of the hunt?|Artemis|Artemis
Who performed twelve labors to gain immortality?|Hercules|Hercules
For what did Odin give an eye?|wisdom;knowledge|Odin
In which year was the Brooklyn Bridge opened?|1883|Brooklyn Bridge
In which town does the Leaning Tower stand?|Pisa|Leaning Tower
Near which city is the Alhambra?|Granada|Alhambra
Which fortification was built to protect France's eastern border?|Maginot|Maginot Line
What is sauerkraut made of?|cabbage|Sauerkraut
What are marshmallows made of?|gelatin;sugar;corn syrup|Marshmallow
How many arms does a squid have?|ten;10|Squid
In which country did the rumba originate?|Cuba|Rumba
What does a spirograph record?|breath|Spirograph
Which hormone is produced by the thyroid glands?|thyroxin|Thyroxine
What do the letters of laser stand for?|light amplification|Laser
Which early bicycle had a very large front wheel?|ordinary|Ordinary
What color is khaki cloth?|brown|Khaki
From which part of the plant is dill seasoning made?|foliage;thread;leaves;leaf|Dill
What was stolen from Delhi by the Persians in 1739?|throne|Peacock-throne
Who built the ark to save the animals from the flood?|Noah|Ark
Who won the football world cup in 2018?||-
What is the telephone number of the White House?||-
Which film won the most prizes at Cannes in 2021?||-
What did Alan Turing eat for breakfast?||-
How much does a ticket for the Brooklyn Bridge cost?||-
Who is the mayor of Calais today?||-
How many followers does the Leaning Tower have on social media?||-
What was the name of Samuel Morse's dog?||-
Which programming language was used to write the first web browser?||-
What is the password of the library's wireless network?||-
Who repaired the roof of the Alhambra last summer?||-
What is the boiling point of the drink that Odin prefers?||-
"""


def main() -> None:
    passages = {p.title: p for p in load_corpus().passages}
    rows, problems = [], []
    for line in QUESTIONS.strip().splitlines():
        question, answers, title = line.split("|")
        accepted = [a for a in answers.split(";") if a]
        row = {"question": question, "answers": accepted, "passage": None if title == "-" else title}
        if title != "-":
            if title not in passages:
                problems.append(f"no passage {title!r}")
            elif not any(a.lower() in passages[title].text.lower() for a in accepted):
                problems.append(f"{title!r} does not hold {accepted}: {passages[title].text}")
        rows.append(row)
    if problems:
        raise SystemExit("\n".join(problems))
    target = Path(__file__).parent / "questions.json"
    target.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(len(rows), "questions, of which", sum(r["passage"] is None for r in rows), "have no answer")


if __name__ == "__main__":
    main()
