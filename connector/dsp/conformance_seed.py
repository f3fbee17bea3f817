"""What the conformance profile `dsp-tck` is seeded with: datasets, offers, agreements, scripts.

Keys and scripts are those of the sequences of the Eclipse kit (dsp-tck 1.0.1). A script is what
happens next by itself, in order; where it has nothing for a state, the process is held.
"""

from connector.dsp.handling import Handling, Step
from connector.dsp.states import Signal, State

PARTICIPANT = "CONNECTOR_UNDER_TEST"
COUNTERPARTY = "TCK_PARTICIPANT"
DSP_PATH = "/2025-1"
NEGOTIATION_WEBHOOK = "/tck/negotiations/requests"
TRANSFER_WEBHOOK = "/tck/transfers/requests"
OFFER_ID = "CD123:{}:456"

_Script = tuple[tuple[State, Signal], ...]

_OFFER = (State.REQUESTED, Signal.OFFER)
_AGREE = (State.REQUESTED, Signal.AGREE)
_AGREE_TO_ACCEPTED = (State.ACCEPTED, Signal.AGREE)
_FINALIZE = (State.VERIFIED, Signal.FINALIZE)
_ACCEPT = (State.OFFERED, Signal.ACCEPT)
_COUNTER = (State.OFFERED, Signal.REQUEST)
_VERIFY = (State.AGREED, Signal.VERIFY)
_START = (State.REQUESTED, Signal.START)
_SUSPEND = (State.STARTED, Signal.SUSPEND)
_RESUME = (State.SUSPENDED, Signal.START)
_COMPLETE = (State.STARTED, Signal.COMPLETE)


def _end(state: State) -> tuple[State, Signal]:
    return (state, Signal.TERMINATE)


# The connector provides: by dataset.
PROVIDED: dict[str, _Script] = {
    "CAT0101": (),
    "CAT0102": (),
    "ACN0101": (_OFFER,),
    "ACN0102": (_OFFER, _end(State.REQUESTED)),
    "ACN0103": (_OFFER, _AGREE_TO_ACCEPTED, _FINALIZE),
    "ACN0104": (_AGREE, _FINALIZE),
    "ACN0201": (_end(State.REQUESTED),),
    "ACN0202": (),
    "ACN0203": (_AGREE,),
    "ACN0204": (_OFFER,),
    "ACN0205": (_OFFER, _end(State.OFFERED)),
    "ACN0206": (_OFFER, _end(State.ACCEPTED)),
    "ACN0207": (_AGREE, _end(State.VERIFIED)),
    "ACN0301": (_AGREE, _FINALIZE),
    "ACN0302": (_OFFER,),
    "ACN0303": (_OFFER,),
    "ACN0304": (_OFFER,),
}

# The connector consumes: by dataset of the kit.
CONSUMED: dict[str, _Script] = {
    "ACNC0101": (_ACCEPT, _VERIFY),
    "ACNC0102": (_COUNTER,),
    "ACNC0103": (_end(State.OFFERED),),
    "ACNC0104": (_VERIFY,),
    "ACNC0201": (),
    "ACNC0202": (_end(State.REQUESTED),),
    "ACNC0203": (_end(State.AGREED),),
    "ACNC0204": (),
    "ACNC0205": (_ACCEPT,),
    "ACNC0206": (_VERIFY,),
    "ACNC0301": (),
    "ACNC0302": (),
    "ACNC0303": (),
    "ACNC0304": (_ACCEPT,),
    "ACNC0305": (_ACCEPT,),
    "ACNC0306": (_ACCEPT,),
}

# The connector provides what was agreed: by agreement.
ENTITLED: dict[str, _Script] = {
    "ATP0101": (_START, _end(State.STARTED)),
    "ATP0102": (_START, _COMPLETE),
    "ATP0103": (_START, _SUSPEND, _end(State.SUSPENDED)),
    "ATP0104": (_START, _SUSPEND, _RESUME, _COMPLETE),
    "ATP0105": (_end(State.REQUESTED),),
    "ATP0201": (_START,),
    "ATP0202": (_START,),
    "ATP0203": (_START,),
    "ATP0204": (_START,),
    "ATP0205": (),
    "ATP0301": (),
    "ATP0302": (),
    "ATP0303": (_START,),
    "ATP0304": (_START,),
    "ATP0305": (_START,),
    "ATP0306": (_START,),
}

# The connector consumes what was agreed: by agreement.
USED: dict[str, _Script] = {
    "ATPC0101": (),
    "ATPC0102": (),
    "ATPC0103": (),
    "ATPC0104": (),
    "ATPC0105": (),
    "ATPC0201": (_end(State.STARTED),),
    "ATPC0202": (_COMPLETE,),
    "ATPC0203": (_SUSPEND, _end(State.SUSPENDED)),
    "ATPC0204": (_SUSPEND, _RESUME, _COMPLETE),
    "ATPC0205": (_end(State.REQUESTED),),
    "ATPC0301": (),
    "ATPC0302": (),
    "ATPC0303": (),
    "ATPC0304": (),
    "ATPC0305": (),
    "ATPC0306": (),
}


def scripted(script: _Script) -> Handling:
    """The handling that follows a script and holds what it does not name."""
    return Handling(mode="scripted", script=tuple(Step(state=s, signal=a) for s, a in script))


def properties(root: str) -> list[str]:
    """The kit's own properties, line by line, for a connector at `root` (`http://host:port`)."""
    prefix = "dataspacetck"
    lines = [
        f"{prefix}.dsp.local.connector=false",
        f"{prefix}.dsp.connector.agent.id={PARTICIPANT}",
        f"{prefix}.dsp.connector.http.base.url={root}",
        f"{prefix}.dsp.connector.http.url={root}{DSP_PATH}",
        f"{prefix}.dsp.connector.negotiation.initiate.url={root}{NEGOTIATION_WEBHOOK}",
        f"{prefix}.dsp.connector.transfer.initiate.url={root}{TRANSFER_WEBHOOK}",
        f"{prefix}.dsp.default.wait=10",
    ]
    for key in PROVIDED:
        lines.append(f"{_test(key)}_DATASETID={key}")
        lines.append(f"{_test(key)}_OFFERID={OFFER_ID.format(key)}")
    for key in CONSUMED:
        lines.append(f"{_test(key)}_DATASETID={key}")
        lines.append(f"{_test(key)}_OFFERID=offer{key}")
    for key in [*ENTITLED, *USED]:
        lines.append(f"{_test(key)}_AGREEMENTID={key}")
        lines.append(f"{_test(key)}_FORMAT=HttpData-PULL")
    return lines


def _test(key: str) -> str:
    """`ACNC0101` is the key of test `CN_C_01_01`."""
    name = {"ACNC": "CN_C", "ACN": "CN", "ATPC": "TP_C", "ATP": "TP", "CAT": "CAT"}[key[:-4]]
    return f"{name}_{key[-4:-2]}_{key[-2:]}"
