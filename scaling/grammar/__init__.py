"""A generated language whose probabilities are known exactly.

A document has a topic; the roots of its sentences are a Markov chain that depends on the topic;
each sentence is a tree of fixed depth whose production rules have Zipf-distributed probabilities,
after the random hierarchy model (Cagnetta et al. 2024, arXiv:2307.02129, section 2; with Zipf
rules: Cagnetta et al. 2025, arXiv:2505.07067). On such a language the loss of the best possible
model is a number and not a fit: excess over it puts causal and masked models on one axis.

rules: what a grammar consists of. sampling: documents. inference: belief propagation.
optimum: Bayes-optimal losses of tokens. pairs: what can be known of a pair of sentences.
"""
