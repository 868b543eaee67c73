// Which parts of the network train, by step: the same in every peer written in JavaScript.

const OPEN = {
  forward: () => false,
  head: (name) => name.startsWith("classifier."),
  last: (name) => /^(classifier|features\.(denseblock4|norm5))\./.test(name),
  all: () => true,
};

/** Whether what is called `name` belongs to a part that trains. */
export const opens = (name, what) => OPEN[what](name);
