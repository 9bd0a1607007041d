"""Predict the peak memory of LoRA training from shapes, in bytes. Needs no torch.

Terms: weights; adapters with gradient and two Adam moments in float32; what autograd keeps of each
    layer for each token of the largest micro-batch (or, of layers that compute their activations
    again, their input, and one layer's all); the output layer's chunk. The count of kept tensors
    follows the Llama layer as transformers and peft run it; a frozen linear map keeps nothing.
"""

from dataclasses import dataclass

from lorabench.description.flops import Shapes
from lorabench.training.memory_plan import LayerCosts
from lorabench.training.settings import TrainingSettings

# 4 bits, an 8-bit scale per 64 weights, a float32 scale per 256 of those
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
# logits at a time, as in label_loss
CHUNK = 2**25
# queries at a time, as in block_attention
BLOCK = 128
# glibc keeps the small remainders at the edges of aligned blocks in separate caches, so that a
# freed tensor's place does not grow together again and is too small for the next tensor. Without
# these caches training on a CPU takes a fifth to a quarter less memory, and not more time
# (docs/training.md).
GLIBC_TUNABLES = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0"
# On a CPU, what the process then holds for each byte that autograd keeps; see
# benchmarks/memory_model.py.
CPU_ALLOCATOR = 1.2
# of a trained parameter: itself, its gradient, two moments
ADAM_BYTES = 4 + 4 + 8


@dataclass(frozen=True, kw_only=True)
class MemoryModel:
    """Predicted bytes by term."""

    weights: float
    adapters: float
    # or, where that is more, what exact evaluation needs in their place
    activations: float
    output_layer: float
    # libraries and, on a GPU, the driver's context
    process: float

    @property
    def peak(self) -> float:
        """The sum of all terms."""
        return self.weights + self.adapters + self.activations + self.output_layer + self.process


def predict_memory(
    shapes: Shapes,
    settings: TrainingSettings,
    *,
    number_bytes: int,
    tokens: int,
    recomputed: int,
    gpu: bool,
    compiled: bool,
    processes: int = 1,
) -> MemoryModel:
    """Predict the peak of one process.

    Args:
        number_bytes: 2 for bfloat16 arithmetic, 4 for float32.
        tokens: positions of the largest micro-batch, padding counted.
        recomputed: layers that compute their activations again.
        gpu: on a GPU; else the resident memory of a CPU process.
        processes: that divide the layers' weights among them where the recipe says `fsdp`.
    """
    adapter = shapes.adapter_parameters(settings.lora_r, settings.target_modules)
    embeddings = shapes.head_parameters * (1 if shapes.tied else 2) * number_bytes
    layer = NF4_BYTES if settings.use_4bit is True else number_bytes
    allocated = layer_costs(shapes, settings, number_bytes, gpu=gpu, compiled=compiled).kept(
        tokens, recomputed
    )
    largest = shapes.hidden * max(shapes.intermediate, shapes.attention_width)
    head = max(CHUNK, shapes.vocabulary) * (4 + 2 * number_bytes)
    # float32 logits in parts, for exact likelihoods
    evaluation = 2 * 4 * CHUNK
    layers = shapes.layer_parameters * layer
    if settings.fsdp and processes > 1:
        # the layer at work and the next are whole
        layers = layers / processes + 2 * layers / shapes.layers
    return MemoryModel(
        weights=layers + embeddings + (largest * number_bytes if settings.use_4bit is True else 0),
        adapters=adapter * (ADAM_BYTES + (number_bytes if number_bytes == 2 else 0)),
        activations=max(allocated, evaluation),
        output_layer=head,
        process=0.6e9 if gpu else 0.7e9,
    )


def layer_costs(
    shapes: Shapes, settings: TrainingSettings, number_bytes: int, *, gpu: bool, compiled: bool
) -> LayerCosts:
    """Return what the layers keep for the backward pass; on a CPU with the C library's share."""
    share = 1 if gpu else CPU_ALLOCATOR
    whole = layer_bytes(
        shapes, settings, number_bytes, settings.max_seq_length, gpu=gpu, compiled=compiled
    )
    return LayerCosts(
        layers=shapes.layers,
        bytes_a_token=whole * share,
        input_bytes_a_token=shapes.hidden * number_bytes * share,
    )


def layer_bytes(
    shapes: Shapes,
    settings: TrainingSettings,
    number_bytes: int,
    length: int,
    *,
    gpu: bool,
    compiled: bool,
) -> float:
    """Return the bytes that autograd keeps of a layer for one token of a conversation.

    Without dropout the adapters keep their inputs, which adapters of one input share; with dropout
    each keeps its own, and a mask. The compiler keeps no float32 copy of what a norm gets, and
    computes the gate's activation again.
    """
    hidden, width, key_value = shapes.hidden, shapes.attention_width, shapes.key_value_width
    dropout = settings.lora_dropout > 0
    norms = 2 * hidden * (number_bytes if compiled else 4)
    # query, key, value
    attention = number_bytes * (width + 2.0 * key_value)
    if gpu or compiled:
        # FlashAttention keeps its output
        attention += number_bytes * width
    else:
        heads = shapes.attention_width // shapes.head_size
        # probabilities, kept by BlockAttention: of whole blocks
        attention += number_bytes * heads * (length + min(length, BLOCK)) / 2
        attention += 0 if dropout else number_bytes * width
    # gate, its activation, up
    gated = number_bytes * shapes.intermediate * (2 if compiled else 3)
    inner = number_bytes * settings.lora_r * len(settings.target_modules)
    if dropout:
        # on a CPU the mask is of the numbers' kind
        mask = 1 if gpu or compiled else number_bytes
        inputs = (number_bytes + mask) * sum(
            shapes.linear_shapes[name][0]
            for name in settings.target_modules
            if name in shapes.linear_shapes
        )
    else:
        # outputs of the norms, and the product of gate and up
        inputs = number_bytes * (2 * hidden + shapes.intermediate)
    return norms + attention + gated + inner + inputs
