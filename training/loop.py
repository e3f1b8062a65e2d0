"""The one training loop: batches in, parameters moved, checkpoints and history out.

It knows a small ``Runtime`` (which worker am I, where do reports go), not Ray. Every random choice
follows from the run's seed, the epoch and the worker, so that a run that resumes from an epoch's
checkpoint ends with the weights of one that never stopped. The epoch kept is the one with the
lowest validation loss, the tasks' losses weighted as in training. Next: ``network.py``.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from training.datasets.batches import Dataset
from training.datasets.histories import Ints
from training.methods.average import Average
from training.methods.gradients import average_gradients, learning_rate, make_optimizer
from training.models.batch import Batch, Catalogue
from training.network import State, learnt_state, load_state, prepare
from training.run import Run
from training.tasks import TASKS
from training.track import Progress, Runtime, progress_bar


def train(run: Run, data: Path, out: Path, runtime: Runtime, start: State | None = None) -> None:
    """Train `run` on the dataset folder `data`, from the last checkpoint if there is one.

    Parameters
    ----------
    out
        Folder for ``history.jsonl`` (one line an epoch) and passing files; shared by all workers.
    start
        Weights to begin with, for a warm start.
    """
    Training(run, Dataset(data), out, runtime, start).go()


class Training:
    """A network, its optimiser and its progress, on one worker."""

    def __init__(
        self, run: Run, dataset: Dataset, out: Path, runtime: Runtime, start: State | None = None
    ) -> None:
        self.run, self.dataset, self.out, self.runtime = run, dataset, out, runtime
        torch.manual_seed(run.seed)
        self.network = prepare(run, dataset, start).to(runtime.device)
        self.optimizer = make_optimizer(self.network, run.optim)
        self.text_vectors_ND = torch.as_tensor(np.array(dataset.text_vectors)).to(runtime.device)
        self.average = Average(self.network, run.optim.averaging)
        self.progress = Progress()
        self.best: State = learnt_state(self.network)
        if (folder := runtime.checkpoint()) is not None:
            self._load(folder)

    def go(self) -> None:
        """All epochs that are left, each with its validation, checkpoint and report."""
        while self.progress.epoch < self.run.optim.num_epochs and not self._is_over():
            started = time.perf_counter()
            train_loss, num_examples = self._epoch(self.progress.epoch)
            self.progress.epoch += 1
            metrics = {"train_loss": train_loss, "num_examples": num_examples}
            if self.runtime.rank == 0:
                with self.average.applied(self.network):
                    metrics |= self._validate()
            metrics["seconds"] = time.perf_counter() - started
            self._report(metrics)

    def _changes_text(self) -> bool:
        return any(method.changes_text for method in self.run.methods)

    def _is_over(self) -> bool:
        return self.progress.step >= (self.run.optim.max_steps or math.inf)

    def _epoch(self, epoch: int) -> tuple[float, int]:
        """One pass over the training examples; mean loss and number of examples, all workers'."""
        self.network.train()
        torch.manual_seed(self.run.seed + 1_000_003 * (epoch + 1) + 7_919 * self.runtime.rank)
        total = max(1, len(self._drawn(epoch)))
        loss_sum, seen = 0.0, 0
        with progress_bar(f"epoch {epoch + 1}", total, self.runtime.rank == 0) as advance:
            batches = self._batches(epoch)
            while not self._is_over():
                batch = next(batches, None)
                fraction = (epoch + min(seen / total, 1.0)) / self.run.optim.num_epochs
                loss, num = self._step(batch, fraction)
                if num == 0:
                    break
                loss_sum, seen = loss_sum + loss, seen + num
                advance(num)
        return loss_sum / max(seen, 1), seen

    def _step(self, batch: Batch | None, fraction: float) -> tuple[float, int]:
        """Move the parameters once; None is a worker without batches left, which still averages.

        Returns the sum of the loss over the examples of all workers, and their number.
        """
        self.optimizer.zero_grad()
        sums = torch.zeros(2, device=self.runtime.device)
        if batch is not None:
            loss = self._loss(batch, learning=True)
            loss.backward()
            sums = torch.tensor([loss.item(), float(len(batch))], device=self.runtime.device)
        for method in self.run.methods:
            method.after_backward(self.network)
        num = average_gradients(self.network, sums, self.runtime.world)
        if num == 0:
            return 0.0, 0
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.run.optim, self.progress.step, fraction)
        nn.utils.clip_grad_norm_(self.network.parameters(), self.run.optim.clip_norm, foreach=True)
        self.optimizer.step()
        self.progress.step += 1
        self.average.update(self.network, self.progress.step)
        for method in self.run.methods:
            method.after_step(self.network)
        return float(sums[0]), num

    def _loss(self, batch: Batch, *, learning: bool) -> Tensor:
        """Sum over the examples of `batch` of their tasks' weighted losses."""
        catalogue: Catalogue = self.dataset.items(batch.week).to(self.runtime.device)
        batch = batch.to(self.runtime.device)
        texts_ND = self.text_vectors_ND
        if learning:
            for method in self.run.methods:
                batch = method.batch(batch)
                texts_ND = method.text_vectors(
                    self.network, batch, catalogue, self.dataset.texts, texts_ND
                )
        output = self.network(batch, catalogue, texts_ND)
        loss = output.logit_BH.new_zeros(())
        for code, (name, weight) in enumerate(
            zip(self.run.tasks, self.run.task_weights, strict=True)
        ):
            if num := int((batch.task_B == code).sum()):
                mean = TASKS[name].loss(output, batch, self.network.columns[name])
                loss = loss + weight * num * mean
        if learning:
            for method in self.run.methods:
                loss = method.loss(loss, output, batch)
        return loss

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Mean loss of the validation examples; keeps the weights when it is the lowest so far.

        Without validation (a refit, or a run that wants none) the last epoch's weights are kept.
        """
        self.network.eval()
        loss_sum, seen, optim = 0.0, 0, self.run.optim
        told = {"max_positions": optim.max_positions, "seed": self.run.seed}
        for batch in self.dataset.batches("valid", **told) if optim.validates else ():
            loss_sum += float(self._loss(batch, learning=False))
            seen += len(batch)
        loss = loss_sum / seen if seen else -float(self.progress.epoch)
        if loss < self.progress.best_loss:
            self.progress.best_loss, self.progress.best_epoch = loss, self.progress.epoch
            self.best = learnt_state(self.network)
        return {"valid_loss": loss} if seen else {}

    def _drawn(self, epoch: int) -> Ints:
        """The training examples of an epoch: of each task the share that the run asks for."""
        task = self.dataset.examples("train").task
        share = np.array(self.run.task_shares)[task]
        rng = np.random.default_rng([self.run.seed, epoch])
        return np.flatnonzero(rng.random(len(task)) < share)

    def _batches(self, epoch: int) -> Iterator[Batch]:
        """This worker's batches of the examples that `epoch` draws."""
        drawn = np.zeros(len(self.dataset.examples("train")), dtype=bool)
        drawn[self._drawn(epoch)] = True
        told = (self._max_positions(drawn), self.runtime.rank, self.runtime.world)
        for rows in self.dataset.plan("train", *told, self.run.seed, epoch):
            if drawn[rows].any():
                yield self.dataset.batch("train", rows[drawn[rows]])

    def _max_positions(self, drawn: np.ndarray) -> int:
        """Behaviours in one batch of an epoch that draws the examples of a mask."""
        lengths = np.maximum(np.diff(self.dataset.examples("train").history.offsets), 1)
        of_a_batch = int(lengths[drawn].sum()) // self.run.optim.min_batches
        return max(1, min(self.run.optim.max_positions, of_a_batch))

    def _report(self, metrics: dict[str, float]) -> None:
        """Write the epoch's line, save what a resumed run needs, and tell the runtime."""
        numbers = {"epoch": self.progress.epoch, "step": self.progress.step, **metrics}
        if self.runtime.rank != 0:
            self.runtime.report(numbers, None)
            return
        self.progress.history.append(numbers)
        self.out.mkdir(parents=True, exist_ok=True)
        lines = [json.dumps(line) for line in self.progress.history]
        (self.out / "history.jsonl").write_text("\n".join(lines) + "\n")
        folder = self.out / "passing"
        self._save(folder)
        self.runtime.report(numbers, folder)
        shutil.rmtree(folder)

    def _save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(learnt_state(self.network), folder / "last.safetensors")
        save_file(self.best, folder / "best.safetensors")
        save_file(self.average.values, folder / "average.safetensors")
        torch.save(self.optimizer.state_dict(), folder / "optimizer.pt")
        if self._changes_text():
            torch.save(self.text_vectors_ND.cpu(), folder / "text_vectors.pt")
        (folder / "progress.json").write_text(json.dumps(asdict(self.progress)))

    def _load(self, folder: Path) -> None:
        load_state(self.network, load_file(folder / "last.safetensors"))
        self.best = load_file(folder / "best.safetensors")
        self.average.load(load_file(folder / "average.safetensors"))
        self.optimizer.load_state_dict(torch.load(folder / "optimizer.pt"))
        if self._changes_text():
            self.text_vectors_ND.copy_(torch.load(folder / "text_vectors.pt"))
        self.progress = Progress(**json.loads((folder / "progress.json").read_text()))
