"""The words of the tokenizer that needs no files: those of the templates, and those that tables fill into them."""

import re
import string

from data_modules.mammography.captions.template import STYLES, load_style
from data_modules.mammography.captions.words import BIRADS, DENSITIES, OLDEST, UNKNOWN

TABLE_WORDS = """
mg mammo mam mammogram mammography screening screen diagnostic diag bilateral bilat unilateral uni one side left right
tomo tomosynthesis digital full field cad implant implants with without w wo and or of the additional views view image
combo synthetic 2d 3d c scrn stnd standard protocol exam spot magnification breast breasts recall follow up
cc mlo ml lm lmo at xccl xccm iso fb sio cv tan rl rm
african american black caucasian white asian indian alaskan native hawaiian other pacific islander multiple more than
races hispanic latino non not no yes
round oval irregular lobular lobulated asymmetry asymmetric asymmetrical focal global developing architectural
distortion generic mass lymph node intramammary tubular density dense solitary dilated duct
high equal iso low fat containing radiolucent isodense
calcification calcifications amorphous benign coarse popcorn dystrophic eggshell rim fine linear branching heterogeneous
casting indistinct large rod like milk calcium calc punctate pleomorphic skin lucent centered vascular suture
diffuse scattered regional grouped clustered cluster segmental
"""
"""Words of procedures, views, people and of the descriptors of masses and calcifications (ACR BI-RADS atlas)."""


def caption_words() -> list[str]:
    """Every word and mark that captions are expected to hold, in lower case and sorted: the same wherever it is asked.

    Templates of a user's own and the free text of tables may hold others; those become the unknown token.
    """
    texts = [TABLE_WORDS, UNKNOWN]
    for style in STYLES:
        for text in load_style(style).sections.values():
            texts.append(re.sub(r"\{\w+\}", " ", text or ""))
    texts += [words for category in BIRADS.values() for words in category]
    texts += [words for category in DENSITIES.values() for words in category]
    texts += [str(number) for number in range(OLDEST + 1)]
    return sorted({*re.findall(r"\w+", " ".join(texts).lower()), *string.punctuation})
