"""2.5 measured: a reward model from comparisons, a short alignment run, and what happens when beta goes to 0."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from aieng.data.corpus import ASSETS, load_corpus
from aieng.data.preferences import choose, liked_ids, true_preference
from aieng.figures.language import alignment_curves, alignment_summary, bars
from aieng.lesson.environment import quick
from aieng.lesson.finding import Finding, experiment
from aieng.models.tiny_gpt import TinyGPT, load_tiny_gpt
from aieng.training.alignment import AlignmentConfig, AlignmentRun, Responses, RewardModel, align, sample_responses, train_reward_model

TOKENS = 16  # of a response


@dataclass
class Setting:
    """gpt : the policy to start from; prompts : Tensor (number, 4); reward : RewardModel; liked : ids; agreement : on unseen pairs."""

    gpt: TinyGPT
    prompts: Tensor
    reward: RewardModel
    liked: list[int]
    agreement: float
    losses: list[float]

    @property
    def stop_id(self) -> int:
        return self.gpt.tokenizer.encode("\n")[0]

    def gold(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """The annotator's true preference, which nobody has to optimise."""
        return true_preference(tokens, mask, self.liked)


def make_setting(bradley_terry_loss: Any, *, pairs: int = 1000, seed: int = 0) -> Setting:
    """Sample pairs of responses, let the annotator choose, fit the reward model with the learner's loss."""
    gpt = load_tiny_gpt()
    # Prompts of equal length, so that a batch needs no padding.
    rows = [ids for p in load_corpus().passages if len(ids := gpt.tokenizer.encode(f"{p.title}:")) == 4]
    prompts = torch.tensor(rows)
    generator = torch.Generator().manual_seed(seed)
    chosen_rows = prompts[torch.randint(len(prompts), (pairs,), generator=generator)]
    stop, liked = gpt.tokenizer.encode("\n")[0], liked_ids(gpt.tokenizer.vocabulary)
    first, second = (sample_responses(gpt.model, chosen_rows, TOKENS, stop, generator) for _ in range(2))
    likes_first = choose(true_preference(first.new, first.mask, liked), true_preference(second.new, second.mask, liked), generator)
    winner, loser = _pick(first, second, likes_first), _pick(first, second, ~likes_first)
    train_on, test_on = slice(0, int(0.8 * pairs)), slice(int(0.8 * pairs), pairs)
    reward = RewardModel(gpt.model.config.vocab_size, TOKENS)
    losses = train_reward_model(reward, _part(winner, train_on), _part(loser, train_on), loss=bradley_terry_loss)
    with torch.no_grad():
        better = reward(winner.new, winner.mask) > reward(loser.new, loser.mask)
    return Setting(gpt, prompts, reward, liked, float(better[test_on].float().mean()), losses)


def _pick(first: Responses, second: Responses, take_first: Tensor) -> Responses:
    return Responses(torch.where(take_first[:, None], first.ids, second.ids), torch.where(take_first[:, None], first.mask, second.mask),
                     first.prompt_length)


def _part(responses: Responses, rows: slice) -> Responses:
    return Responses(responses.ids[rows], responses.mask[rows], responses.prompt_length)


@experiment
def reward_from_comparisons(bradley_terry_loss: Any, *, pairs: int = 1000) -> Finding:
    """Fit a reward model to an annotator's choices, and read off what it learned to like.

    The numbers: `agreement` on unseen pairs, `first_loss`, `last_loss`, `likes` (tokens), `setting`.
    """
    if quick():
        pairs = 80
    setting = make_setting(bradley_terry_loss, pairs=pairs)
    values = setting.reward.values.detach()
    best = values.topk(10)
    tokens = [setting.gpt.tokenizer.decode([int(i)]) for i in best.indices]
    liked = [setting.gpt.tokenizer.decode([i]).strip() for i in setting.liked]
    return Finding(
        f"From {int(0.8 * pairs)} comparisons the loss went from {setting.losses[0]:.2f} (log 2, a coin) to {setting.losses[-1]:.2f}, and "
        f"on "
        f"{pairs - int(0.8 * pairs)} new pairs the reward agrees with the annotator's choice {setting.agreement:.0%} of the time. The "
        f"annotator "
        f"likes {', '.join(liked)} (each once, two at most) and hates repetition, and it is not always of one mind, as people are; the "
        f"model gives its highest values to the tokens in the figure. "
        "Repetition is rare in the pairs, so it has hardly heard of that rule.",
        bars("What the reward model pays "
             "for", "value of one occurrence", [t.replace(" ", "·") for t in tokens], {"value": best.values.tolist()}),
        {"agreement": setting.agreement, "first_loss": setting.losses[0], "last_loss": setting.losses[-1], "likes": tokens,
         "setting": setting})


def run_alignment(setting: Setting, config: AlignmentConfig, group_advantages: Any, policy_gradient_loss: Any, kl_per_token: Any,
                  progress: bool = True) -> tuple[AlignmentRun, list[str]]:
    """Align a copy of the setting's model; the run, and a few of its last responses as text."""
    policy = setting.gpt.copy()
    bar = tqdm(total=config.steps, unit="step", desc=f"beta {config.beta:g}", disable=not progress)
    run = align(policy.model, list(policy.weights.values()), setting.gpt.copy(requires_grad=False).model, setting.prompts, setting.reward,
                setting.gold, setting.stop_id, config, advantages_of=group_advantages, policy_loss=policy_gradient_loss, kl=kl_per_token,
                on_step=lambda *_: bar.update() and None)
    bar.close()
    return run, [" ".join(setting.gpt.tokenizer.decode(ids).split()) for ids in run.samples[:4]]


@experiment
def align_a_little(setting: Any, group_advantages: Any, policy_gradient_loss: Any, kl_per_token: Any, *, beta: float = 0.3,
                   steps: int = 30) -> Finding:
    """A short run with the learner's three functions (some fifteen seconds).

    The numbers: `reward`, `gold`, `kl` (each {"first", "last"}).
    """
    if quick():
        steps = 3
    if setting != setting:  # NaN: the experiment before was skipped
        raise ValueError("run the cell that trains the reward model first")
    run, texts = run_alignment(setting, AlignmentConfig(beta, steps), group_advantages, policy_gradient_loss, kl_per_token)
    numbers = {key: {"first": _mean(getattr(run, key)[:3]), "last": _mean(getattr(run, key)[-5:])} for key in ("reward", "gold", "kl")}
    listed = "\n".join(f"- `{text[:110]}`" for text in texts)
    return Finding(
        f"With beta = {beta:g}, {len(run.reward)} steps took the reward from {numbers['reward']['first']:.2f} to "
        f"{numbers['reward']['last']:.2f}, the "
        f"true preference from {numbers['gold']['first']:.2f} to {numbers['gold']['last']:.2f}, at a distance of "
        f"{numbers['kl']['last']:.2f} nats a "
        f"token from the reference. Some of its last responses:\n\n{listed}",
        alignment_curves({"beta": beta, "reward": run.reward, "gold": run.gold, "kl": run.kl}),
        dict(numbers))


def load_runs() -> dict[str, Any]:
    """The recorded runs: `date`, `machine`, `agreement`, `runs` (a list of {"beta", "reward", "gold", "kl", "texts"})."""
    record: dict[str, Any] = json.loads((ASSETS / "rlhf_runs.json").read_text(encoding="utf-8"))
    return record


@experiment
def reward_hacking() -> Finding:
    """Where each of the recorded runs ended.

    The numbers: `betas`, `reward`, `gold`, `kl`, `best_beta` (largest true preference), `hacked` (the smallest beta's true preference),
    `start` (the true preference before training).
    """
    record = load_runs()
    runs = record["runs"]
    betas = [run["beta"] for run in runs]
    ends = {key: [_mean(run[key][-10:]) for run in runs] for key in ("reward", "gold", "kl")}
    start = _mean([_mean(run["gold"][:2]) for run in runs])
    best = max(range(len(runs)), key=lambda i: ends["gold"][i])
    free = min(range(len(runs)), key=lambda i: betas[i])
    text = runs[free]["texts"][0][:120].replace("`", "'")
    return Finding(
        f"Recorded on {record['date']} ({record['machine']}, {len(runs[0]['reward'])} steps a run). With beta = {betas[free]:g} the "
        f"reward model is "
        f"happiest ({ends['reward'][free]:.2f}), and the annotator it was trained for scores the result {ends['gold'][free]:.2f}; before "
        f"training "
        f"it was {start:.2f}. The best for the annotator is beta = {betas[best]:g} with {ends['gold'][best]:.2f}. Unbounded, the policy "
        f"says "
        f"things like `{text}`: it has found what the reward model pays for and does not punish.",
        alignment_summary(betas, ends["reward"], ends["gold"], ends["kl"]),
        {"betas": betas, **ends, "best_beta": betas[best], "best": ends["gold"][best], "hacked": ends["gold"][free],
         "hacked_reward": ends["reward"][free], "start": start})


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
