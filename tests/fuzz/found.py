"""What tests of found failures share: damaged tables, and the line that a user sees."""

import base64
import zlib

import pytest

from medlit import cli

ENDS_THE_PROCESS = (
    "c-nnZ%}&BV5Z<ko7{h@WW<!%6dZB>`*sdbQ$YBxx;veF{=&e{P8nuQhKR$rZV0<6%K7bG4!GrM$oGleky4jtXZ|0k?)9f}y%LWzFklsZ{2%&g}"
    "(u{z>9LyCkoq_};2vIPrQaYtTQY({0O3P3e2vb>`wasO7h9K1eCl;E;!!2$VExTy(7}*iBf261XmY(w5Q6&CIaho61e5ORx*)l9KBxCeJ#~~=%"
    ">XzCIf;&(NB(n;Rl_k5nEJ-AlV$4)c*9ztn)&Keh_NG9Zm|u$i|0L{F0Y=z6WvV%YE-gpOBt@%raJ&+pbvxH?=9MnURo)i3)}?X!h=+$Uj#4{9"
    "gkml7hhn~o^}#^qvFSYKMg5^Pb!ql4k>s3AM8~}PhKSd=-jLzx=0;f@JV+eIqR9N^WB-x-F8Wrivo{uLICAv*WX^h5h+2(g_M5?#+Y61{?dYx>"
    "+~kdZrx#uXHwG`+CCkXQ?=P-AqvBUB-u4!K-{TeEcerOS@rvVGRhL)GzR&%N+wrPAuNClG<juU`lWXEz{00_7fP4"
)
PANICS = (
    "c-nnZ%}&BV5Z)~fF@}RNoefQT=*31NXuI-Lj2ss6Fa9AOjNXc+f<bDiqWAzlgYkX5`v5+G2M@+4aJDpZ(#`J7d^6vCoo2TwS`Mh7fwqs15JK@h"
    "NHYck^Dv*s^c<uiO^AY7mC}>~8NEc(b9$C~K$yzftZkL88G=+7+(c*=54X8pu$_X<6Xe9mnM!MaNvC{o9E(3u+}0<xUMSHGR)!)&GDe?t5`v<y"
    "@2JBtyakm&W<kNR7RbIKOA<+?1T$4P^t|;<jlX_@y(^#*>svAYpM-rWzzF-GOtogvX>z1&MzmT-r)$wgw{z`f-{^{5rCot*QyO=K_~AIgacWP9"
    "NNmLZSS&TMet$3X*mRlj;{HgQx-<t@NOI49MJK%amPpp5-jLz>_Et$8JxUxUqR5=`vHwJV7kw+yIhcqvTseCEcg}iOh+2(g51V1%8%E~h&G@z("
    "4szzGGmLuSz~sx$vTZK5?|OaTtOQk?xBb;1@OdQ&T<$wXUU5CU>hWqR2zXHOI)0Vs^gLdRyqQ;ga!q`TKOAv@e*"
)
"""Parquet tables of two columns, a and day, with one byte of a page changed."""


def bytes_of(literal):
    return zlib.decompress(base64.b85decode(literal))


def refusal(kind, read, *words, **settings):
    """The line that the user sees."""
    with pytest.raises(kind) as caught:
        read(*words, **settings)
    said = cli.one_line(caught.value)
    assert said.isprintable()
    assert len(said) <= cli.LONGEST_LINE
    return said
