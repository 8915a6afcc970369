"""Reference decoders on the same trials."""

import numpy as np
from jaxtyping import Bool, Float, Int


def linear_svm(
    features: Float[np.ndarray, "n voxels"], label: Int[np.ndarray, "n"], session: Int[np.ndarray, "n"]
) -> Bool[np.ndarray, "n"]:
    """True where a linear support vector machine (C = 1) trained on the other sessions names the item's class.

    Each session is left out in turn.
    """
    from sklearn.svm import SVC

    hits = np.zeros(len(label), dtype=bool)
    for left_out in np.unique(session):
        test = session == left_out
        machine = SVC(kernel="linear", C=1.0).fit(features[~test], label[~test])
        hits[test] = machine.predict(features[test]) == label[test]
    return hits
