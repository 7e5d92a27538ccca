"""The course's plan: its sections and exercises, with minutes and points. README, cards and progress all read it here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Exercise:
    """One graded exercise: what it is called, how long it takes and what it earns."""

    id: str  # "1.3": section.number
    title: str
    minutes: int
    difficulty: int  # 1 (●○○) to 3 (●●●)
    points: int
    helper: dict[str, str]  # name the learner defines -> "module:attribute" of the helper that stands in for it

    @property
    def dots(self) -> str:
        return "●" * self.difficulty + "○" * (3 - self.difficulty)


@dataclass(frozen=True)
class Section:
    """One notebook of the course."""

    slug: str  # folder and file name: "01-vectors"
    title: str
    summary: str
    minutes: int
    prerequisites: str
    exercises: tuple[Exercise, ...] = ()
    quiz_points: int = 5
    written_points: int = 10

    @property
    def number(self) -> str:
        return self.slug[:2]

    @property
    def ready(self) -> bool:
        """Whether the notebook has been written; the others are announced with their planned minutes."""
        return bool(self.exercises)

    @property
    def points(self) -> int:
        """100 in every section; one that is only announced has no exercises to add up yet."""
        return sum(e.points for e in self.exercises) + self.quiz_points + self.written_points if self.ready else 100


_DISTANCES = "aieng.vectors.distances"

SECTIONS: tuple[Section, ...] = (
    Section(
        "01-vectors", "Vectors", "embeddings, exact and approximate search, compression, vector databases", 240,
        "Python, NumPy slicing and broadcasting; no machine learning",
        (
            Exercise("1.1", "Cosine similarity and semantic search", 20, 1, 8,
                     {"cosine_similarity": f"{_DISTANCES}:cosine_similarity",
                      "semantic_search": f"{_DISTANCES}:semantic_search"}),
            Exercise("1.2", "Analogies by arithmetic", 15, 1, 6, {"analogy": "aieng.vectors.analogies:analogy"}),
            Exercise("1.3", "Exact k nearest neighbours", 25, 2, 11, {"knn": f"{_DISTANCES}:knn"}),
            Exercise("1.4", "Scalar quantization", 20, 1, 9,
                     {"ScalarQuantizer": "aieng.vectors.scalar_quantizer:ScalarQuantizer"}),
            Exercise("1.5", "Product quantization", 35, 3, 14,
                     {"ProductQuantizer": "aieng.vectors.product_quantizer:ProductQuantizer"}),
            Exercise("1.6", "Inverted file index (IVF)", 30, 2, 12, {"IVFIndex": "aieng.vectors.ivf:IVFIndex"}),
            Exercise("1.7", "HNSW: a navigable graph", 50, 3, 16, {"HNSW": "aieng.vectors.hnsw:HNSW"}),
            Exercise("1.8", "A search engine", 25, 2, 9,
                     {"SearchEngine": "aieng.vectors.search_engine:SearchEngine"}),
        ),
    ),
    Section("02-large-language-models", "Large language models",
            "tokens, sampling, instruction tuning, preferences, retrieval-augmented generation", 240, "section 01"),
    Section("03-llm-internals", "LLM internals", "positions, RoPE, attention, the Transformer, the KV cache", 240,
            "section 02"),
    Section("04-core-optimizations", "Core optimizations", "paged attention, mixture of experts, FlashAttention", 210,
            "section 03"),
    Section("05-tradeoffs", "Tradeoffs", "quantization, sparse attention, distillation, speculative decoding", 270,
            "section 03"),
    Section("06-reasoning", "Reasoning", "chain of thought, process supervision, tools, tree of thoughts", 210,
            "section 02"),
    Section("07-transformers-deep-dive", "Transformers deep dive", "masks, multi-head attention, what heads do", 180,
            "section 03"),
    Section("08-mcp-and-agents", "MCP, agents and applications", "prompts, context, the Model Context Protocol, agents",
            210, "sections 01 and 06"),
)


def section(key: str) -> Section:
    """The section called `key`: "01", "01-vectors" or "1"."""
    for s in SECTIONS:
        if key in (s.slug, s.number, s.number.lstrip("0")):
            return s
    raise ValueError(f"no section {key!r}; the course has {', '.join(s.slug for s in SECTIONS)}")


def exercise(exercise_id: str) -> Exercise:
    """The exercise with this id, such as "1.3"."""
    for s in SECTIONS:
        for e in s.exercises:
            if e.id == exercise_id:
                return e
    known = ", ".join(e.id for s in SECTIONS for e in s.exercises)
    raise ValueError(f"no exercise {exercise_id!r}; known: {known}")


def section_of(exercise_id: str) -> Section:
    """The section that an exercise belongs to."""
    exercise(exercise_id)
    return section(f"0{exercise_id.split('.')[0]}")
