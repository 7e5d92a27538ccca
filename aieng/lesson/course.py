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
    Section(
        "02-large-language-models", "Large language models",
        "tokens, sampling, instruction tuning, preferences, retrieval-augmented generation", 240, "section 01",
        (
            Exercise("2.1", "Byte-level BPE", 40, 2, 17,
                     {name: f"aieng.text.bpe_training:{name}" for name in ("train_bpe", "encode", "decode")}),
            Exercise("2.2", "Cross entropy, perplexity and the next-token predictor", 30, 1, 12,
                     {name: f"aieng.training.losses:{name}" for name in ("cross_entropy", "perplexity", "bigram_probabilities")}),
            Exercise("2.3", "Sampling: temperature, top-k, top-p", 30, 2, 14,
                     {name: f"aieng.generation.sampling:{name}"
                      for name in ("greedy", "scale_temperature", "keep_top_k", "keep_top_p", "sample")}),
            Exercise("2.4", "Instruction tuning", 30, 2, 12,
                     {"render_chat": "aieng.training.instructions:render_chat", "sft_example": "aieng.training.instructions:sft_example",
                      "sft_loss": "aieng.training.losses:sft_loss"}),
            Exercise("2.5", "Learning from preferences (RLHF)", 40, 3, 15,
                     {name: f"aieng.training.preference:{name}"
                      for name in ("bradley_terry_loss", "kl_per_token", "group_advantages", "policy_gradient_loss")}),
            Exercise("2.6", "Retrieval-augmented generation", 40, 2, 15,
                     {"chunk": "aieng.text.chunking:chunk", "retrieve": "aieng.generation.rag:retrieve",
                      "build_prompt": "aieng.generation.rag:build_prompt"}),
        ),
    ),
    Section(
        "03-llm-internals", "LLM internals", "positions, RoPE, attention, the Transformer, the KV cache", 240, "section 02",
        (
            Exercise("3.1", "Positions: sinusoidal and learned", 25, 1, 11,
                     {name: f"aieng.transformer.positions:{name}" for name in ("sinusoidal_positions", "embed_tokens")}),
            Exercise("3.2", "RoPE: positions as rotations", 35, 2, 18,
                     {name: f"aieng.transformer.positions:{name}" for name in ("rope_frequencies", "apply_rope")}),
            Exercise("3.3", "Scaled dot-product attention", 35, 2, 17,
                     {name: f"aieng.transformer.attention:{name}" for name in ("softmax", "scaled_dot_product_attention")}),
            Exercise("3.4", "The Transformer, and SmolLM2 assembled", 60, 3, 23,
                     {**{name: f"aieng.transformer.blocks:{name}"
                         for name in ("layer_norm", "rms_norm", "gelu", "swiglu", "EncoderBlock", "CrossAttentionBlock",
                                      "DecoderOnlyBlock")},
                      "llama_logits": "aieng.transformer.assembly:llama_logits"}),
            Exercise("3.5", "The key-value cache", 40, 2, 16,
                     {"KVCache": "aieng.transformer.kv_cache:KVCache", "generate": "aieng.generation.decoding:generate"}),
        ),
    ),
    Section(
        "04-core-optimizations", "Core optimizations", "paged attention, mixture of experts, FlashAttention", 210, "section 03",
        (
            Exercise("4.1", "A paged key-value cache", 45, 3, 21,
                     {"BlockAllocator": "aieng.transformer.paged_cache:BlockAllocator",
                      "BlockTable": "aieng.transformer.paged_cache:BlockTable"}),
            Exercise("4.2", "Paged attention and continuous batching", 40, 2, 18,
                     {"paged_attention": "aieng.transformer.paged_attention:paged_attention",
                      "continuous_batching": "aieng.generation.batching:continuous_batching"}),
            Exercise("4.3", "Mixture of experts", 40, 2, 21,
                     {"top_k_router": "aieng.transformer.experts:top_k_router",
                      "dispatch": "aieng.transformer.experts:dispatch",
                      "load_balancing_loss": "aieng.transformer.experts:load_balancing_loss",
                      "MoELayer": "aieng.transformer.experts:MoELayer"}),
            Exercise("4.4", "FlashAttention", 55, 3, 25,
                     {"online_softmax": "aieng.transformer.flash_attention:online_softmax",
                      "flash_attention_forward": "aieng.transformer.flash_attention:flash_attention_forward",
                      "flash_attention_backward": "aieng.transformer.flash_attention:flash_attention_backward"}),
        ),
    ),
    Section(
        "05-tradeoffs", "Tradeoffs", "quantization, sparse attention, distillation, speculative decoding", 270, "section 03",
        (
            Exercise("5.1", "Eight-bit integers", 20, 1, 9,
                     {"quantize_absmax": "aieng.quantization.integer:quantize_absmax",
                      "quantize_affine": "aieng.quantization.integer:quantize_affine",
                      "int8_matmul": "aieng.quantization.integer:int8_matmul"}),
            Exercise("5.2", "Groups of four bits, and GGUF's blocks", 30, 2, 11,
                     {"quantize_groups": "aieng.quantization.integer:quantize_groups",
                      "decode_q8_0": "aieng.quantization.gguf_blocks:decode_q8_0",
                      "encode_q8_0": "aieng.quantization.gguf_blocks:encode_q8_0",
                      "decode_q4_1": "aieng.quantization.gguf_blocks:decode_q4_1",
                      "encode_q4_1": "aieng.quantization.gguf_blocks:encode_q4_1"}),
            Exercise("5.3", "GPTQ: errors that cancel", 40, 3, 14,
                     {"hessian": "aieng.quantization.gptq:hessian", "gptq": "aieng.quantization.gptq:gptq"}),
            Exercise("5.4", "NF4, LoRA and QLoRA", 35, 2, 12,
                     {"nf4_levels": "aieng.quantization.nf4:nf4_levels", "quantize_nf4": "aieng.quantization.nf4:quantize_nf4",
                      "double_quantize": "aieng.quantization.nf4:double_quantize", "LoRALinear": "aieng.training.lora:LoRALinear"}),
            Exercise("5.5", "Training that knows about the rounding", 20, 2, 8,
                     {"fake_quantize": "aieng.quantization.quantization_aware:fake_quantize"}),
            Exercise("5.6", "Sparse attention", 35, 2, 12,
                     {"sparse_mask": "aieng.transformer.sparse_attention:sparse_mask",
                      "block_sparse_attention": "aieng.transformer.sparse_attention:block_sparse_attention"}),
            Exercise("5.7", "Distillation", 20, 1, 8,
                     {"distillation_loss": "aieng.training.distillation:distillation_loss"}),
            Exercise("5.8", "Speculative decoding", 40, 3, 11,
                     {"prompt_lookup": "aieng.generation.speculative:prompt_lookup",
                      "verify_greedy": "aieng.generation.speculative:verify_greedy",
                      "acceptance_and_residual": "aieng.generation.speculative:acceptance_and_residual",
                      "speculative_sample": "aieng.generation.speculative:speculative_sample"}),
        ),
    ),
    Section(
        "06-reasoning", "Reasoning", "chain of thought, process supervision, tools, tree of thoughts", 210, "section 02",
        (
            Exercise("6.1", "Chain of thought", 40, 1, 20,
                     {name: f"aieng.reasoning.chain_of_thought:{name}"
                      for name in ("zero_shot_prompt", "few_shot_prompt", "extract_answer", "self_consistency")}),
            Exercise("6.2", "Process supervision", 45, 2, 21,
                     {name: f"aieng.reasoning.verifiers:{name}" for name in ("step_labels", "process_loss", "trace_score", "best_of_n")}),
            Exercise("6.3", "Tools and constrained decoding", 55, 3, 24,
                     {**{name: f"aieng.reasoning.tools:{name}" for name in ("describe", "parse_call", "run_tool")},
                      **{name: f"aieng.generation.constrained:{name}" for name in ("mask_logits", "constrained_decode")}}),
            Exercise("6.4", "Tree of thoughts", 45, 2, 20,
                     {name: f"aieng.reasoning.tree_search:{name}" for name in ("propose", "tot_bfs", "tot_dfs")}),
        ),
    ),
    Section(
        "07-transformers-deep-dive", "Transformers deep dive", "masks, multi-head attention, what heads do", 180, "section 03",
        (
            Exercise("7.1", "The causal mask and masked attention", 35, 2, 25,
                     {"causal_mask": "aieng.transformer.attention:causal_mask",
                      "attention_weights": "aieng.transformer.attention:attention_weights",
                      "masked_attention": "aieng.transformer.attention:scaled_dot_product_attention"}),
            Exercise("7.2", "Multi-head attention, and heads that share keys and values", 50, 3, 34,
                     {"MultiHeadAttention": "aieng.transformer.attention:MultiHeadAttention"}),
            Exercise("7.3", "What heads do", 40, 2, 26,
                     {name: f"aieng.transformer.head_scores:{name}"
                      for name in ("previous_token_score", "attention_sink_score", "induction_score", "ablation_effects")}),
        ),
    ),
    Section(
        "08-mcp-and-agents", "MCP, agents and applications", "prompts, context, the Model Context Protocol, agents", 210,
        "sections 01 and 06",
        (
            Exercise("8.1", "Prompts, and how to compare them", 40, 2, 18,
                     {name: f"aieng.agents.prompts:{name}" for name in ("escape_delimiters", "build_prompt", "ab_test")}),
            Exercise("8.2", "Context engineering", 45, 2, 21,
                     {name: f"aieng.agents.context:{name}" for name in ("mmr", "pack_context", "compose")}),
            Exercise("8.3", "The Model Context Protocol", 55, 3, 24,
                     {name: f"aieng.agents.mcp:{name}" for name in ("MCPServer", "serve", "MCPClient")}),
            Exercise("8.4", "A ReAct agent with memory", 50, 3, 22,
                     {**{name: f"aieng.agents.react:{name}" for name in ("parse_step", "Scratchpad", "react")},
                      "Memory": "aieng.agents.memory:Memory"}),
        ),
    ),
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
