"""A language model from Python: train for a few steps, judge, step through a text, write."""

import tempfile
from pathlib import Path

import recur
from recur.data.demo import demo_text
from recur.decode.sampling import Sampling
from recur.models.options import LanguageModelOptions
from recur.train.options import LanguageTrainingOptions

folder = Path(tempfile.mkdtemp())
text = folder / "reference.txt"
text.write_text(demo_text(), encoding="utf-8")

run = recur.train_language_model(
    text,
    out=folder / "run",
    model=LanguageModelOptions(num_layers=1, hidden_size=128, dropout=0.0),
    training=LanguageTrainingOptions(max_steps=400, batch_size=16, learning_rate=8e-3),
)
print(run.read_json("evaluation.json")["verdict"])

model = recur.load(run)
log_p, state = model.read("The statemen")
likeliest = model.tokenizer.symbol(int(log_p.argmax()))
print(f"after 'The statemen' comes {likeliest!r}, with probability {log_p.max().exp():.2f}")
log_p, state = model.step(likeliest, state)

for sample in model.generate("The ", 60, samples=2, sampling=Sampling(temperature=0.5), seed=0):
    print(repr("The " + sample))
