"""Writes the phrasings of public chat bots as data sets: people's own, of many kinds.

    python3 bots.py FOLDER [--hold-out FILE ...]

Each bot becomes FOLDER/<name>.tsv with a line "intent TAB prompt" for each phrasing,
as `make bench-bots` reads it from $NEXUS_BENCH_DATA/bots. The bots are read from
their repositories, each at the commit that is named here; nothing of them is kept in
this one. A prompt that stands in a file of --hold-out, which has the form of Rasa's
training files, is left out, so that what is kept for a last trial stays unseen.
"""

import argparse
import csv
import io
import json
import pathlib
import re
import subprocess
import tempfile

# What a bot says to steer a dialogue is no question that somebody teaches an answer to.
STEERING = {"inform", "out_of_scope", "none", "nlu_fallback", "faq", "chitchat", "explain", "restart", "stop"}
LEAST_INTENTS, LEAST_PROMPTS, LEAST_WORDS, MOST_CHARACTERS = 5, 2, 1.6, 400

ENTITY = re.compile(r"\[([^\]]+)\](\([^)]*\)|\{[^}]*\})")
INTENT = re.compile(r"\s*-?\s*intent:\s*(.+)|##\s*intent:\s*(.+)")
OTHER = re.compile(r"\s*-?\s*(lookup|synonym|regex|story|rule|checkpoint|action|steps|responses):|##")
EXAMPLE = re.compile(r"\s*- (.+)")


def rasa(text):
    """The intents of a Rasa training file, in its YAML or its Markdown form."""
    intents, current = {}, None
    for line in text.splitlines():
        if found := INTENT.match(line):
            current = (found[1] or found[2]).strip().strip('"')
        elif OTHER.match(line):
            current = None
        elif current and (found := EXAMPLE.match(line)):
            prompt = ENTITY.sub(r"\1", found[1]).strip().strip("\"'").strip()
            intents.setdefault(current, []).append(prompt)
    return intents


def watson(text):
    """The intents of a workspace of Watson Assistant."""
    return {i["intent"]: [e["text"] for e in i["examples"]] for i in json.loads(text)["intents"]}


def table(text):
    """The intents of a CSV file with the columns sentence and label."""
    intents = {}
    for row in csv.DictReader(io.StringIO(text)):
        intents.setdefault(row["label"], []).append(row["sentence"])
    return intents


# Where most bots of Rasa keep what people say.
NLU = r"data/nlu\.(yml|md)"

# name, repository, commit, the files by a pattern, how they are read
BOTS = [
    ("aid", "AIDANXhang/CMPE_252_project_AidBot", "893ad48f092626066e7e354bed6dd82d264f3050", NLU, rasa),
    ("bank", "watson-developer-cloud/assistant-simple", "8c29aa8c5dfd8fe4e20b96c53cccb1dd657a63fe", r"training/bank_simple_workspace\.json", watson),
    ("banking-help", "IBM/watson-banking-chatbot", "4b2cdf968ffd795933b90bb8e6bd90674d782080", r"data/conversation/workspaces/full_banking\.json", watson),
    ("branch-bank", "Afaqrehman98/BankingChatBotUsingRASA", "bd9aec8cfdadbc915a92f0f6f9839d6ff472d239", NLU, rasa),
    ("car", "watson-developer-cloud/conversation-with-discovery", "dbbae0bb1bbb286000d4248095275a5c54ff3ef4", r"src/main/resources/workspace\.json", watson),
    ("carbon", "RasaHQ/carbon-bot", "5241112f10a52b2dfae7c01da0c6dd7dc401724f", NLU, rasa),
    ("corona", "Ajinkz/Corona-info-bot", "b07ff52f2b03e2bff2964b95eecdf4001b56399f", NLU, rasa),
    ("covid", "Aarbaz77/covid19chatbot", "809414ef0ed2523e593ee6e4e3fe71cbd3c99db1", NLU, rasa),
    ("cybercrime", "AbinayaPS/RK62_CtrlAltLite", "26729e04bae55aa7b64fcade21556a8b627edd8a", NLU, rasa),
    ("forex", "AnalystSubranjit/Forex-Chatbot", "c645e7a12ac80a75036f7420e68c03221b6b2462", NLU, rasa),
    ("hotel", "AdityaVashista30/Hotel-Managment-Bot-Using-Rasa", "ec98b663d5aadfd4ca4de887375f444c87a1cc1e", NLU, rasa),
    ("insurance", "RasaHQ/insurance-demo", "03ec1d9b9f2a41a877381ad24bfd91a3994692b7", NLU, rasa),
    ("it-desk", "1997Abhishekuipath/Tiger_IT_bot", "d01cc2bde4abe4fcb60c081be267d1f1a6333d48", NLU, rasa),
    ("job-search", "1218muskan/JobSearch_Bot", "35204f116e51563d31f5ed1cb33b8217376a4145", NLU, rasa),
    ("jobjet", "0Shark/jobjet", "d1453bc56a6c3b9cebc07642801ba17d9c63269f", NLU, rasa),
    ("libra", "Aabrity/Libra-Bot", "5ef4f2703b3836e83805cc714dcc96c2a766248b", NLU, rasa),
    ("library", "Akshara3129/LibraryBot", "3d1eb628e6887e7bfa9ed5e6ba030ec1677f977d", NLU, rasa),
    ("mortgage", "Alea4jacta6est/Chatbot-banking-service", "c8e95da4c0909162f2f69429b9a63dc02a7a807f", NLU, rasa),
    ("nlu-training-data", "RasaHQ/NLU-training-data", "adf95065e808be76f51ce2c39b9f564cde5a77ae", r"[^/]+/nlu\.yml", rasa),
    ("nora", "Archish27/nora-covid-19-bot", "38f2d0e43aebf0f12bf5d8cd571c4cb4ba350b4d", NLU, rasa),
    ("reception", "Akshatt/ReceptionBot", "ecce055cd5729831c7c3021277976b4eb30829fc", NLU, rasa),
    ("retail", "RasaHQ/retail-demo", "4137920c1e7090d4571b27b79867cdea1428a159", NLU, rasa),
    ("stocks", "3m6d/FinBotRasa", "9afc81a0bf9336a821edf0c8f2eaf7af07c3c6e5", NLU, rasa),
    ("vira", "IBM/vira-intent-classification", "6b369069d05cbf640d3fdd4e350895b61da64e7b", r"intent_dataset/(train|validation)\.csv", table),
    ("vyccu", "AakashTamang/Vyccu_bot", "d95176c4dbd610e70616122c5d1c433f68da5102", NLU, rasa),
]


def git(folder, *words):
    return subprocess.run(["git", "-C", folder, *words], check=True, stdout=subprocess.PIPE).stdout.decode(errors="replace")


def read(repository, commit, pattern, parse):
    """The intents of the files of a repository at a commit."""
    with tempfile.TemporaryDirectory() as folder:
        git(folder, "init", "--quiet")
        git(folder, "fetch", "--quiet", "--depth", "1", f"https://github.com/{repository}", commit)
        intents = {}
        for path in git(folder, "ls-tree", "-r", "--name-only", commit).splitlines():
            if not re.fullmatch(pattern, path):
                continue
            for name, prompts in parse(git(folder, "show", f"{commit}:{path}")).items():
                intents.setdefault(name, []).extend(prompts)
        return intents


def cleaned(intents, held_out):
    """The intents that somebody could teach an answer to, each prompt once."""
    out = {}
    for name, prompts in intents.items():
        kept = {}
        for prompt in (" ".join(p.split()) for p in prompts):
            if prompt and len(prompt) < MOST_CHARACTERS and prompt.lower() not in held_out:
                kept.setdefault(prompt.lower(), prompt)
        words = sum(len(p.split()) for p in kept)
        if name.split("/")[-1].lower() not in STEERING and len(kept) >= LEAST_PROMPTS and words >= LEAST_WORDS * len(kept):
            out[name] = list(kept.values())
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("folder", type=pathlib.Path)
    args.add_argument("--hold-out", type=pathlib.Path, nargs="*", default=[])
    args = args.parse_args()
    held_out = {p.lower() for f in args.hold_out for prompts in rasa(f.read_text()).values() for p in prompts}
    args.folder.mkdir(parents=True, exist_ok=True)
    for name, repository, commit, pattern, parse in BOTS:
        intents = cleaned(read(repository, commit, pattern, parse), held_out)
        if len(intents) < LEAST_INTENTS:
            raise SystemExit(f"{repository} holds {len(intents)} intents, at least {LEAST_INTENTS} are needed: has the pattern {pattern} changed?")
        with open(args.folder / f"{name}.tsv", "w") as f:
            for intent, prompts in intents.items():
                f.writelines(f"{intent}\t{p}\n" for p in prompts)
        print(f"{name}: {len(intents)} intents, {sum(map(len, intents.values()))} prompts")


if __name__ == "__main__":
    main()
