"""Who sees which picture when: the simulated counterpart of NSD's experiment design and behaviour."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from mindeye2.demo.world import Scene, captions, sample_scene
from mindeye2.errors import UserError
from mindeye2.seeds import numpy_generator

PRESENTATIONS = 3
_MASSED = 0.6
"""Share of the presentations that come within about a session of the image's own time; the rest come anywhere."""
_MISSED_RESPONSES = 0.03
_TWO_PRESSES = 0.05


@dataclass(frozen=True)
class Design:
    """The experiment, the same for all subjects but for the images unique to each.

    A subject with fewer sessions stops early in the same order of trials, as in NSD. Sizes follow from the
    settings: 10 000, 73 000, 1000 and 750 there are ``images_per_subject``, ``len(scenes)``, ``shared`` and
    ``trials_per_session`` here.
    """

    scenes: list[Scene]
    """The pictures in the order of the stimulus brick, 0-based "73K" ids."""
    captions: list[list[str]]
    subject_images: np.ndarray
    """(largest subject number, images_per_subject) 1-based 73K ids; zeros where a subject does not exist."""
    order: np.ndarray
    """(planned trials,) 1-based "10K" ids, at most ``shared`` for a shared image."""
    shared: int
    trials_per_session: int
    sessions: dict[int, int]

    @property
    def images_per_subject(self) -> int:
        return self.subject_images.shape[1]

    @property
    def num_runs(self) -> int:
        """Twelve runs a session, fewer where a run would have less than four trials."""
        return max(1, min(12, self.trials_per_session // 4))

    def run_of_trial(self) -> np.ndarray:
        """0-based run of each trial of a session; runs differ by at most one trial, as 63 and 62 do in NSD."""
        return np.arange(self.trials_per_session) * self.num_runs // self.trials_per_session

    def shown(self, subject: int) -> np.ndarray:
        """0-based 73K image of every trial that ``subject`` did, in order."""
        done = self.order[: self.sessions[subject] * self.trials_per_session]
        return self.subject_images[subject - 1, done - 1] - 1

    def is_shared(self) -> np.ndarray:
        """Boolean over the 73K ids."""
        flags = np.zeros(len(self.scenes), dtype=bool)
        flags[self.shared_ids() - 1] = True
        return flags

    def shared_ids(self) -> np.ndarray:
        """(shared,) 1-based 73K ids, ascending."""
        return self.subject_images[min(self.sessions) - 1, : self.shared]


def make_design(*, seed: int, sessions: dict[int, int], trials_per_session: int, shared_images: int) -> Design:
    """Draw scenes, their captions and the order of trials.

    Raises UserError when the trials leave no room for images beside the shared ones.
    """
    planned = max(sessions.values()) * trials_per_session
    images_per_subject = -(-planned // PRESENTATIONS)
    if shared_images >= images_per_subject:
        raise UserError(
            f"simulate.shared_images: {shared_images} shared images, but {planned} trials show only "
            f"{images_per_subject} images {PRESENTATIONS} times; lower it, or raise simulate.trials_per_session"
        )
    unique = images_per_subject - shared_images
    total = shared_images + unique * len(sessions)
    ids = numpy_generator(seed, "simulate", "ids").permutation(total) + 1
    shared_ids = np.sort(ids[:shared_images])
    subject_images = np.zeros((max(sessions), images_per_subject), dtype=np.int64)
    for position, subject in enumerate(sorted(sessions)):
        own = ids[shared_images + position * unique :][:unique]
        subject_images[subject - 1] = np.concatenate([shared_ids, own])
    scenes = _distinct_scenes(total, numpy_generator(seed, "simulate", "scenes"))
    return Design(
        scenes=scenes,
        captions=[captions(scene) for scene in scenes],
        subject_images=subject_images,
        order=_order(images_per_subject, max(sessions.values()), numpy_generator(seed, "simulate", "order"))[:planned],
        shared=shared_images,
        trials_per_session=trials_per_session,
        sessions=dict(sorted(sessions.items())),
    )


def _distinct_scenes(count: int, generator: np.random.Generator) -> list[Scene]:
    seen: dict[Scene, None] = {}
    while len(seen) < count:
        seen[sample_scene(generator)] = None
    return list(seen)


def _order(images: int, sessions: int, generator: np.random.Generator) -> np.ndarray:
    """1-based images, each ``PRESENTATIONS`` times.

    An image has a time of its own on the circle of the experiment; some presentations fall near it, some
    anywhere. Sorting all times gives the order, so every session mixes new images with repeats.
    """
    own = generator.uniform(size=(images, 1))
    near = own + generator.normal(0.0, 0.5 / sessions, (images, PRESENTATIONS))
    anywhere = generator.uniform(size=(images, PRESENTATIONS))
    massed = generator.uniform(size=(images, PRESENTATIONS)) < _MASSED
    times = np.where(massed, near, anywhere) % 1.0
    return np.argsort(times.ravel(), kind="stable") // PRESENTATIONS + 1


def responses(design: Design, subject: int, *, seed: int) -> pd.DataFrame:
    """The rows of ``responses.tsv`` for the continuous recognition task: old or new?

    Missed responses leave NaN; the buttons of one whole run of the first subject were not recorded (MISSINGDATA).
    """
    generator = numpy_generator(seed, "simulate", "behaviour", subject)
    per_session, num_sessions = design.trials_per_session, design.sessions[subject]
    trials = per_session * num_sessions
    image = design.shown(subject)
    session = np.arange(trials) // per_session
    run = np.tile(design.run_of_trial(), num_sessions)
    unrecorded = (subject == min(design.sessions)) & (session == num_sessions // 2) & (run == design.num_runs // 2)

    first, recent = _gaps(image)
    old = np.isfinite(first)
    old_current = np.isfinite(recent) & (np.arange(trials) - 1 - np.nan_to_num(recent) >= session * per_session)
    missed = (generator.uniform(size=trials) < _MISSED_RESPONSES) | unrecorded
    presses = np.where(missed, 0, 1 + (generator.uniform(size=trials) < _TWO_PRESSES))
    remembered = np.exp(-np.nan_to_num(recent) / (4 * per_session))
    says_old = generator.uniform(size=trials) < np.where(old, 0.55 + 0.4 * remembered, 0.15)
    final_old = says_old.astype(int)
    reaction = np.exp(generator.normal(np.log(900.0), 0.35, trials)).clip(250.0, 3800.0)

    def known(values: np.ndarray) -> np.ndarray:
        return np.where(missed, np.nan, values)

    trial_in_session = np.arange(trials) % per_session
    run_start = np.searchsorted(design.run_of_trial(), np.arange(design.num_runs))
    ten_k = design.order[:trials]
    return pd.DataFrame(
        {
            "SUBJECT": subject,
            "SESSION": session + 1,
            "RUN": run + 1,
            "TRIAL": trial_in_session - run_start[run] + 1,
            "73KID": image + 1,
            "10KID": ten_k,
            "TIME": _days(session, trial_in_session, run),
            "ISOLD": old.astype(int),
            "ISCORRECT": known(says_old == old),
            "RT": known(reaction),
            "CHANGEMIND": known(presses > 1),
            "MEMORYRECENT": recent,
            "MEMORYFIRST": first,
            "ISOLDCURRENT": old_current.astype(int),
            "ISCORRECTCURRENT": known(says_old == old_current),
            "TOTAL1": np.where(presses == 2, 1, (presses == 1) & (final_old == 0)).astype(int),
            "TOTAL2": np.where(presses == 2, 1, (presses == 1) & (final_old == 1)).astype(int),
            "BUTTON": known(final_old + 1),
            "MISSINGDATA": unrecorded.astype(int),
        }
    )


def _gaps(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Trials between each one and the first, and the most recent, presentation of its image; NaN when new."""
    first, recent = np.full(len(image), np.nan), np.full(len(image), np.nan)
    seen: dict[int, tuple[int, int]] = {}
    for trial, shown in enumerate(image.tolist()):
        if shown in seen:
            first[trial], recent[trial] = trial - 1 - seen[shown][0], trial - 1 - seen[shown][1]
        seen[shown] = (seen[shown][0] if shown in seen else trial, trial)
    return first, recent


def _days(session: np.ndarray, trial: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Trial start in days since the midnight before the first session: one session a week at noon, 4 s a trial."""
    return 7.0 * session + 0.5 + (4.0 * trial + 60.0 * run) / 86400.0
