"""What a training step costs on 1 to 256 GPUs, by formula: operations, memory, communication. Nothing is measured here.

Letters: N tokens of an image, D channels and L blocks of a tower, T tokens of a caption, n GPUs, m bytes.
"""

from dataclasses import dataclass, field

KB, MB, GB = 1e3, 1e6, 1e9
FLOAT, HALF = 4, 2
"""Bytes of a number."""


@dataclass(frozen=True)
class Cluster:
    """GPUs, and what joins them; see docs/scaling.md for the sources."""

    half_peak: float = 312e12
    """Operations a second of dense bfloat16 matrix products, A100 (NVIDIA A100 Tensor Core GPU data sheet)."""
    float_peak: float = 19.5e12
    """The same of float32, no tensor cores (same sheet)."""
    memory: float = 80 * GB
    """Of a GPU (same sheet)."""
    node: int = 8
    """GPUs that NVLink joins (NVIDIA DGX A100 data sheet)."""
    nvlink: float = 300 * GB
    """Bytes a second out of a GPU: half of the 600 GB/s of both directions (NVIDIA A100 Tensor Core GPU data sheet)."""
    network: float = 200 * GB
    """Bytes a second out of a node: 8 InfiniBand ports of 200 Gb/s (NVIDIA DGX A100 data sheet)."""
    utilisation: float = 0.4
    """Share of the peak that towers reach: assumed."""
    link_share: float = 0.8
    """Share of the bandwidth that a ring of large messages reaches: assumed."""
    latency: tuple[float, float] = (5e-6, 15e-6)
    """Seconds a step of a ring inside a node, and between nodes: assumed."""

    def ring(self, gpus: int, sent: float, steps: int) -> float:
        """Seconds in which each GPU sends ``sent`` bytes in ``steps`` steps of a ring through all of them."""
        bandwidth = self.nvlink if gpus <= self.node else min(self.nvlink, self.network)
        return sent / (bandwidth * self.link_share) + steps * self.latency[gpus > self.node]

    def all_reduce(self, gpus: int, size: float) -> float:
        """Seconds for the sum of ``size`` bytes: 2 (n - 1) / n of them go out of each GPU, in 2 (n - 1) steps."""
        return self.ring(gpus, 2 * (gpus - 1) / gpus * size, 2 * (gpus - 1))

    def all_gather(self, gpus: int, whole: float) -> float:
        """Seconds until each GPU has all ``whole`` bytes, of which it had 1/n; a reduce-scatter takes as long."""
        return self.ring(gpus, (gpus - 1) / gpus * whole, gpus - 1)


@dataclass(frozen=True)
class Tower:
    """A transformer."""

    width: int
    depth: int
    tokens: int
    weights: float
    """All of its parameters."""
    trained: float
    """Those that are trained."""
    cls_only: bool = False
    """Whether the MLP of the last block sees the CLS token alone."""

    def forward(self) -> float:
        """Operations for one image or caption: ``L (24 N D^2 + 4 N^2 D)``, products of matrices alone."""
        return self._linear() + self._attention()

    def training(self, *, recomputed: bool) -> float:
        """Operations of a step: forward (twice where blocks are recomputed), and backward.

        The backward pass takes the gradients of activations, as many operations as forward, and of the weights that are
        trained, as many again; attention, a product of activations, always takes both.
        """
        whole = self.trained > self.weights / 2
        backward = (2 if whole else 1) * self._linear() + 2 * self._attention()
        return (2 if recomputed else 1) * self.forward() + backward

    def _linear(self) -> float:
        block = 24 * self.tokens * self.width**2
        return self.depth * block - (16 * self.tokens * self.width**2 if self.cls_only else 0)

    def _attention(self) -> float:
        return self.depth * 4 * self.tokens**2 * self.width

    def activations(self, *, recomputed: bool) -> float:
        """Bytes kept for one image or caption.

        ``34 N D`` a block with attention that keeps no map (Korthikanti et al., "Reducing Activation Recomputation in
        Large Transformer Models", MLSys 2023, section 4.1); recomputed: the float32 input of each, and one block's.
        """
        block = 34.0 * self.tokens * self.width
        return self.depth * FLOAT * self.tokens * self.width + block if recomputed else self.depth * block


VIT_TOKENS = (518 // 14) ** 2 + 5
"""Patches of 518 pixels, CLS and 4 registers."""
VIT_WEIGHTS = 86.58e6
PATCHES = VIT_TOKENS - 5
DINOV2 = Tower(width=768, depth=12, tokens=VIT_TOKENS, weights=VIT_WEIGHTS, trained=VIT_WEIGHTS)
ADAPTED = Tower(width=768, depth=12, tokens=VIT_TOKENS, weights=VIT_WEIGHTS, trained=0, cls_only=True)
BIOMEDLM = Tower(width=2560, depth=32, tokens=144, weights=2_594e6, trained=2.62e6)
"""GPT-2's blocks and embeddings as BioMedLM has them, LoRA of rank 8 on c_attn."""


@dataclass(frozen=True)
class EarlyIntervention:
    """EI as experiments/ei_derm7pt.yaml, in bf16-mixed: two modalities, two passes each, blocks recomputed."""

    name: str = "EI"
    per_gpu: int = 8
    passes: int = 4
    trained: float = 7.10e6
    """Adapters, heads, projectors, gate."""
    averages: int = 1
    """That SGD with momentum keeps of each trained parameter."""

    @property
    def tokens(self) -> int:
        """Of a case, in all passes."""
        return self.passes * ADAPTED.tokens

    @property
    def weights(self) -> float:
        """All parameters; the passes share the backbone."""
        return ADAPTED.weights + self.trained

    def operations(self, pairs: int, gpus: int) -> tuple[float, float]:
        """Of a GPU in a step, in bfloat16 and in float32; adapters add 1 %."""
        return 1.01 * pairs * self.passes * ADAPTED.training(recomputed=True), 0.0

    def exchanged(self, pairs: int, gpus: int, cluster: Cluster) -> float:
        """Seconds of communication beside the gradients: one number, whether the loss is finite."""
        return cluster.all_reduce(gpus, FLOAT)

    def activations(self, pairs: int, gpus: int) -> float:
        """Bytes of a GPU."""
        return pairs * self.passes * ADAPTED.activations(recomputed=True)


@dataclass(frozen=True)
class MaMA:
    """MaMA as experiments/mama_embed.yaml from late_start on: two images and a caption per pair, towers recomputed."""

    name: str = "MaMA"
    per_gpu: int = 36
    sentences: int = 10
    """Of a caption, about."""
    embed_dim: int = 512
    hidden: int = 2048
    small_collectives: int = 30
    """Of BatchNorm's statistics (7 calls, forward and backward), counts of rows and figures; a few kB each."""
    heads: float = 11.62e6
    averages: int = 2
    """That AdamW keeps of each trained parameter."""

    @property
    def trained(self) -> float:
        """Image tower, LoRA, heads."""
        return DINOV2.weights + BIOMEDLM.trained + self.heads

    @property
    def weights(self) -> float:
        """All parameters."""
        return DINOV2.weights + BIOMEDLM.weights + BIOMEDLM.trained + self.heads

    @property
    def tokens(self) -> int:
        """Of a pair: two images and a caption."""
        return 2 * DINOV2.tokens + BIOMEDLM.tokens

    def operations(self, pairs: int, gpus: int) -> tuple[float, float]:
        """Of a GPU in a step: the towers and heads in bfloat16, the products of patches and sentences in float32.

        A GPU multiplies the patches of its own images with the sentences of all; backward, the gradient of these
        products with the sentences and with the patches.
        """
        towers = 2 * DINOV2.training(recomputed=True) + BIOMEDLM.training(recomputed=True)
        patch_head = 3 * 2 * PATCHES * self.hidden * (DINOV2.width + self.embed_dim)
        products = 3 * 2 * pairs * PATCHES * (pairs * gpus * self.sentences) * self.embed_dim
        return pairs * (towers + patch_head), products

    def exchanged(self, pairs: int, gpus: int, cluster: Cluster) -> float:
        """Seconds for what the losses of the global batch read of other GPUs, and for the gradients of that.

        Rows of five embeddings, sentences, and the scores of both ways of each image with every caption: gathered
        forward, summed backward.
        """
        rows = pairs * gpus
        wholes = [
            FLOAT * rows * 5 * self.embed_dim,
            FLOAT * rows * self.sentences * self.embed_dim,
            FLOAT * rows * 2 * rows,
        ]
        large = sum(cluster.all_gather(gpus, whole) + cluster.all_reduce(gpus, whole) for whole in wholes)
        return large + self.small_collectives * cluster.all_reduce(gpus, 4 * KB)

    def activations(self, pairs: int, gpus: int) -> float:
        """Bytes of a GPU: towers, the patch head's rows in float32, the matrix of scores with its gradient, local loss.

        That keeps its winners, and holds the products of one image at least.
        """
        towers = 2 * DINOV2.activations(recomputed=True) + BIOMEDLM.activations(recomputed=True)
        patch_head = FLOAT * PATCHES * (3 * self.hidden + 3 * self.embed_dim)
        rows = pairs * gpus
        products = FLOAT * PATCHES * rows * self.sentences
        return pairs * (towers + patch_head) + 3 * FLOAT * 2 * rows**2 + self.winners(pairs, gpus) + products

    def winners(self, pairs: int, gpus: int) -> int:
        """Bytes that the local loss keeps of its maxima, for the gradient.

        One for each own image, caption and patch, and four for each own image and sentence.
        """
        return pairs * pairs * gpus * (PATCHES + FLOAT * self.sentences)


@dataclass(frozen=True)
class Step:
    """A step on n GPUs."""

    gpus: int
    batch: int
    """Global."""
    compute: float
    """Seconds of a GPU."""
    gradients: float
    """Seconds of communication of gradients, and of weights where those are dealt out; hidden behind the backward pass
    as far as that lasts."""
    exchanged: float
    """Seconds of communication that nothing hides."""
    memory: float
    """Bytes of a GPU."""
    tokens: float = field(default=0.0)
    """Of the global batch."""

    @property
    def seconds(self) -> float:
        """Of the step; two thirds of the work, the backward pass, hide gradients."""
        return self.compute + max(0.0, self.gradients - 2 / 3 * self.compute) + self.exchanged


def step(
    method: EarlyIntervention | MaMA,
    gpus: int,
    *,
    pairs: int | None = None,
    sharded: bool = False,
    cluster: Cluster | None = None,
) -> Step:
    """What a step costs.

    Args:
        method: What is trained.
        gpus: n.
        pairs: Of a GPU; None: as the experiment has.
        sharded: Whether FSDP2 deals the weights out, in place of DistributedDataParallel.
        cluster: GPUs and network; None: DGX A100.
    """
    cluster = cluster or Cluster()
    pairs = method.per_gpu if pairs is None else pairs
    half, single = method.operations(pairs, gpus)
    compute = half / (cluster.half_peak * cluster.utilisation) + single / (cluster.float_peak * cluster.utilisation)
    held = FLOAT * (method.weights + (1 + method.averages) * method.trained)  # with gradients and averages
    gradients = cluster.all_reduce(gpus, FLOAT * method.trained)
    if sharded:  # gathered forward and backward; a block more is there while one is computed; the image tower whole
        block = FLOAT * BIOMEDLM.weights / BIOMEDLM.depth
        held = held / gpus + 2 * block + FLOAT * DINOV2.weights
        rest = FLOAT * (method.weights - BIOMEDLM.weights)
        gather = BIOMEDLM.depth * cluster.all_gather(gpus, block) + cluster.all_gather(gpus, rest)
        gradients = 2 * gather + cluster.all_gather(gpus, FLOAT * method.trained)
    elif gpus > 1:
        held += FLOAT * method.trained  # the buckets in which DistributedDataParallel sends gradients
    return Step(
        gpus=gpus,
        batch=pairs * gpus,
        compute=compute,
        gradients=gradients if gpus > 1 else 0.0,
        exchanged=method.exchanged(pairs, gpus, cluster) if gpus > 1 else 0.0,
        memory=held + method.activations(pairs, gpus),
        tokens=float(pairs * gpus * method.tokens),
    )
