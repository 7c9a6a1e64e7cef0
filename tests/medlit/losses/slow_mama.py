"""The losses of MaMA as they are written down: sums over pairs in Python, float64, autograd through scalars."""

import torch
import torch.nn.functional as F


def unit(*shape, seed=0, dtype=torch.float64):
    """L2-normalised random rows."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(*shape, generator=generator, dtype=torch.float64), dim=-1).to(dtype)


def minus_log_share(values, positives):
    """Mean over the positives of -log(exp(positive) / sum of exp(all))."""
    total = torch.log(sum(torch.exp(value) for value in values))
    return sum(total - values[place] for place in positives) / len(positives)


def slow_contrast(score, groups):
    """Cross-entropy over rows plus cross-entropy over columns of ``score[i][j]``; one group, one meaning."""
    n = len(score)
    loss = 0.0
    for i in range(n):
        positives = [j for j in range(n) if groups[j] == groups[i]]
        loss = loss + minus_log_share([score[i][j] for j in range(n)], positives) / n
        loss = loss + minus_log_share([score[j][i] for j in range(n)], positives) / n
    return loss


def slow_clip(image, text, scale, groups=None):
    groups = list(range(len(image))) if groups is None else groups.tolist()
    return slow_contrast([[scale * (v * t).sum() for t in text] for v in image], groups)


def slow_nt_xent(a, b, temperature):
    views = [*a, *b]
    loss = 0.0
    for i, view in enumerate(views):
        others = [k for k in range(len(views)) if k != i]
        similarity = [F.cosine_similarity(view, views[k], dim=0) / temperature for k in others]
        partner = others.index((i + len(a)) % len(views))
        loss = loss + minus_log_share(similarity, [partner]) / len(views)
    return loss


def slow_scores(patches, sentences, owner, num_texts):
    """Text to image and image to text, as lists of rows; None where a text has no sentence."""
    to_image, to_text = [], []
    for image in patches:
        to_image.append([])
        to_text.append([])
        for text in range(num_texts):
            own = [sentence for sentence, of in zip(sentences, owner.tolist(), strict=True) if of == text]
            product = [[(patch * sentence).sum() for sentence in own] for patch in image]
            if not own:
                to_image[-1].append(None)
                to_text[-1].append(None)
                continue
            best_patches = [max(row[s] for row in product) for s in range(len(own))]
            best_sentences = [max(row) for row in product]
            to_image[-1].append(sum(best_patches) / len(best_patches))
            to_text[-1].append(sum(best_sentences) / len(best_sentences))
    return to_image, to_text


def slow_local(patches, sentences, owner, scale, symmetric=True, groups=None):
    kept = sorted(set(owner.tolist()))
    groups = list(range(len(patches))) if groups is None else groups.tolist()
    loss = 0.0
    for score in slow_scores(patches, sentences, owner, len(patches))[: 2 if symmetric else 1]:
        pairs = [[scale * score[i][j] for j in kept] for i in kept]
        loss = loss + slow_contrast(pairs, [groups[i] for i in kept])
    return loss


def differences(found, expected, inputs):
    """How far values and gradients are apart, relative to the largest gradient."""
    ours = torch.autograd.grad(found, inputs, allow_unused=True, retain_graph=True)
    theirs = torch.autograd.grad(expected, inputs, allow_unused=True, retain_graph=True)
    assert [x is None for x in ours] == [x is None for x in theirs]
    pairs = [(x, y) for x, y in zip(ours, theirs, strict=True) if x is not None]
    largest = max(float(y.abs().max()) for _, y in pairs)
    assert largest > 0  # a comparison of zeros would say nothing
    gradients = max(float((x - y).abs().max()) for x, y in pairs) / largest
    return {"value": abs(float(found.detach()) - float(expected.detach())), "gradient": gradients}
