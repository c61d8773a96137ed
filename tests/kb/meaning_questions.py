"""Thirty questions in other words than the timeline's, each with the milestones that answer it.

They were written before any search was measured with them. Every second one, from the first on, is
for choosing settings (`TUNING`), the others are for judging (`JUDGING`).

Vectors were tried and left out; the search asks for any word of a question instead. Here are the
mean reciprocal rank for judging, and how many of all thirty were found among the first five:

    all words must match, as it was                                       0.19   6
    any word, whole or as a prefix                                        0.58  21
    the search as it is now                                               0.58  21
    any word, fused with TF-IDF of word stems in 200 dimensions           0.62  24
    any word, fused with a packaged all-MiniLM-L6-v2                      0.59  24

The last two have the settings that were best for the tuning half. The gain of TF-IDF over any word
is 0.03, with a 95% interval from -0.07 to 0.15.
"""

QUESTIONS = {
    "what stops gradients from dying?": (
        "vanishing-gradient lstm relu resnet highway-networks batch-norm xavier-init he-init"
    ),
    "learning a board game with nobody to copy from": "alphago-zero alphazero td-gammon",
    "turning words into lists of numbers": "word2vec glove",
    "two networks that fight each other": "gan",
    "cutting away connections nobody needs": "optimal-brain-damage deep-compression lottery-ticket",
    "a little student imitates a big teacher": "distillation",
    "fooling a classifier by changes nobody sees": "adversarial-examples fgsm",
    "how does a picture emerge step by step from static?": (
        "ddpm diffusion-2015 latent-diffusion stable-diffusion"
    ),
    "converting French sentences to English with a net": "seq2seq bahdanau-attention transformer",
    "forecasting the folded form of biological molecules": "alphafold-2 alphafold-3",
    "using a graphics card for ordinary calculations": "cuda brook geforce-8800 opencl",
    "writing down what somebody says": "acoustic-modeling whisper ctc timit librispeech",
    "how do I keep a model from memorising its examples?": "dropout",
    "spotting things in a photo at a single glance, in real time": "yolo",
    "drawing the exact outline of every object": "mask-rcnn segment-anything u-net fcn",
    "learning without labels from two distorted views of one photo": "simclr byol",
    "how can I adapt a huge language model cheaply?": "lora",
    "how much text should a model of a given size read?": "chinchilla scaling-laws",
    "sudden insight long after everything was memorised": "grokking",
    "derivatives of a program, worked out automatically": (
        "linnainmaa hips-autograd theano pytorch jax"
    ),
    "brain cells as logical switches": "mcculloch-pitts",
    "can one hidden layer imitate every curve?": "universal-approximation hornik-approximation",
    "scanned numerals by many writers": "mnist usps nist-sd19 zip-codes",
    "asking a chatbot to think aloud before it replies": "chain-of-thought o1",
    "making answers agree with human taste": "instructgpt dpo chatgpt",
    "why did Britain stop paying for artificial intelligence?": "lighthill-report",
    "repainting a snapshot in the manner of an artist": "neural-style cyclegan",
    "several specialists and somebody who picks among them": (
        "mixture-of-experts sparse-moe mixtral"
    ),
    "running a chatbot on my own laptop": "llama-cpp mlx",
    "a vehicle steered by a neural net": "alvinn",
}
ANSWERS = {question: set(ids.split()) for question, ids in QUESTIONS.items()}
TUNING, JUDGING = list(ANSWERS)[::2], list(ANSWERS)[1::2]
