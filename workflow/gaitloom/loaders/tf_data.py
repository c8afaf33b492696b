"""tf.data: a generator, and the output signature for it.

TensorFlow is no dependency, and the tests run without it, against a stand-in that holds what is yielded against the
signature.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from gaitloom.errors import GaitloomError
from gaitloom.loaders.samples import Samples


class Generator:
    """What `tf.data.Dataset.from_generator` calls: every call yields the next epoch, as tuples of `fields`."""

    def __init__(
        self,
        samples: Samples,
        fields: Sequence[str] = ("video", "target"),
        shuffle: bool = True,
        shard: int = 0,
        shards: int = 1,
    ):
        """Raises GaitloomError where a field is none of the samples'."""
        self.specs = samples.spec()
        if missing := [field for field in fields if field not in self.specs]:
            raise GaitloomError(f"Samples have no '{missing[0]}'; choose fields from {', '.join(self.specs)}.")
        self.samples, self.fields, self.epoch = samples, tuple(fields), 0
        self._how = shuffle, shard, shards

    def __call__(self) -> Iterator[tuple[np.ndarray, ...]]:
        """The next epoch."""
        epoch, self.epoch = self.epoch, self.epoch + 1
        for key in self.samples.keys(epoch, *self._how):
            sample = self.samples[key]
            yield tuple(sample[field] for field in self.fields)


def dataset(
    samples: Samples, fields: Sequence[str] = ("video", "target"), shuffle: bool = True, shard: int = 0, shards: int = 1
) -> Any:
    """A `tf.data.Dataset` of single samples, (video, target) as Keras takes them; batch and prefetch it as usual."""
    import tensorflow as tf  # type: ignore[reportMissingImports]

    generator = Generator(samples, fields, shuffle, shard, shards)
    signature = tuple(tf.TensorSpec(shape, dtype.name) for shape, dtype in (generator.specs[f] for f in fields))
    return tf.data.Dataset.from_generator(generator, output_signature=signature)
