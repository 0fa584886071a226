"""The images of each step, as src/data/sampler.rs documents them: functions of the run's seed and the step."""

import numpy as np

import philox
from fault import known

# The image number whose words order the batches of an epoch by images.
BATCHES = 2**32 - 1


def below(word, n):
    """Uniform among 0..n from a word of 32 bits."""
    return int(word) * n >> 32


def permutation(words):
    """Fisher and Yates, from the last element down; `words` are the stream's first."""
    order = list(range(len(words)))
    for i in range(len(order) - 1, 0, -1):
        j = below(words[i], i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def distinct(words, n):
    """As many different numbers of 0..n as there are words: Floyd's algorithm."""
    chosen, seen = [], set()
    for word, last in zip(words, range(n - len(words), n)):
        drawn = below(word, last + 1)
        number = last if drawn in seen else drawn
        seen |= {drawn, number}
        chosen.append(number)
    return chosen


class Sampler:
    """Chooses among the readable images, by their places; `labels` are their classes, -1 without an identity."""

    def __init__(self, settings, labels):
        self.data, self.batch, self.seed = settings.data, settings.solver["batch"], settings.run["seed"]
        self.images = len(labels)
        self.members = [(int(c), np.flatnonzero(labels == c)) for c in np.unique(labels[labels >= 0])]
        name = known(self.data, "data", "sampler", "random", "epochs", "pk", "pairs")
        if name == "random":
            self.turns = 1
        elif name == "epochs":
            self.turns, self.epoch = self.images // self.batch, self.by_permutation
        elif name == "pk":
            self.each = self.data["pk_images"]
            self.persons = self.batch // self.each
            order = known(self.data, "data", "pk_order", "identities", "images")
            if order == "images":
                self.turns, self.epoch = self.most_batches(), self.by_images
            else:
                self.turns, self.epoch = len(self.members) // self.persons, self.by_identities
        else:
            self.turns, self.epoch = self.images // (self.batch // 2), self.by_pairs
        self.order = (None, None)

    def words(self, step, image, n):
        return philox.words(self.seed, step, image, philox.SAMPLER, n)

    def chosen(self, step):
        """The images of a step."""
        if self.data["sampler"] == "random":
            return distinct(self.words(step, 0, self.batch), self.images)
        epoch, turn = divmod(step, self.turns)
        if self.order[0] != epoch:
            self.order = epoch, self.epoch(epoch)
        size = len(self.order[1]) // self.turns
        return self.order[1][turn * size:][:size]

    def by_permutation(self, epoch):
        return permutation(self.words(epoch, 0, self.images))[:self.turns * self.batch]

    def shuffled(self, epoch, member):
        """The images of a class in the order of an epoch."""
        label, own = member
        return [int(own[i]) for i in permutation(self.words(epoch, 1 + label, len(own)))]

    def by_identities(self, epoch):
        persons = permutation(self.words(epoch, 0, len(self.members)))[:self.turns * self.persons]
        images = []
        for person in persons:
            own = self.shuffled(epoch, self.members[person])
            images += [own[i % len(own)] for i in range(self.each)]
        return images

    def groups(self):
        return [max(1, len(own) // self.each) for _, own in self.members]

    def most_batches(self):
        """The largest number of batches of groups of different identities, by trying all."""
        groups = self.groups()
        fits = [n for n in range(1, sum(groups) + 1) if sum(min(g, n) for g in groups) >= self.persons * n]
        return max(fits, default=1)

    def by_images(self, epoch):
        laid_out = []
        for person in permutation(self.words(epoch, 0, len(self.members))):
            own = self.shuffled(epoch, self.members[person])
            for group in range(min(self.groups()[person], self.turns)):
                laid_out.append([own[(group * self.each + i) % len(own)] for i in range(self.each)])
        batches = [[] for _ in range(self.turns)]
        for number, group in enumerate(laid_out[:self.persons * self.turns]):
            batches[number % self.turns] += group
        places = permutation(self.words(epoch, BATCHES, self.turns))
        shown = [None] * self.turns
        for batch, place in zip(batches, places):
            shown[place] = batch
        return sum(shown, [])

    def by_pairs(self, epoch):
        data, pairs = self.data, self.batch // 2
        share, decay, least = (float(np.float32(data[f"pairs_{key}"])) for key in ("positive", "decay", "least"))
        least = min(least, share)
        for _ in range(epoch):
            share *= decay
        share = max(least, share)
        positive = min(int(np.floor(share * pairs + 0.5)), pairs)
        class_of = {int(image): label for label, own in self.members for image in own}

        def partner(image, same):
            word = self.words(epoch, 1 + image, 1)[0]
            # By class, as the sampler has them.
            others = [int(i) for label, own in self.members for i in own
                      if (label == class_of[image]) == same and i != image]
            return others[below(word, len(others))] if others else image

        order = permutation(self.words(epoch, 0, self.images))
        images = []
        for turn in range(self.turns):
            first = order[turn * pairs:][:pairs]
            images += first + [partner(image, i < positive) for i, image in enumerate(first)]
        return images
