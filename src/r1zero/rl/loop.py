"""The loop. Its imports are the table of contents; `parts.py` makes the parts.

    draw             measure            credit          pack          update           publish
    prompts ──> groups ──> measured tokens ──> advantages ──> minibatches ──> new weights ──> engine

Each stage is a function from one noun to the next: it knows what it is given, and neither the recipe nor the others.
"""

from __future__ import annotations

from r1zero.grading import rollouts
from r1zero.rl import samples
from r1zero.rl.alarms import alarm, headline
from r1zero.rl.draw import draw
from r1zero.rl.evaluation import evaluate
from r1zero.rl.measure import measure
from r1zero.rl.parts import RLParts
from r1zero.rl.update import to_minibatches, update, update_critic
from r1zero.run import speed
from r1zero.run.session import Session


def train(parts: RLParts, session: Session) -> None:
    """Reinforcement learning with verifiable rewards until `run.steps`. Evaluates and saves when due."""
    recipe, state, trainer, critic = parts.recipe, parts.state, parts.trainer, parts.critic
    longest, rate, epochs = recipe.rollout.max_new_tokens, session.device.gemm_rate, recipe.trainer.epochs
    parts.publish(session.done)
    evaluate(parts.evaluator, parts.rollouts.engine, parts.rollouts.pool, parts.evaluated(session.done), session)
    for step in session.steps():
        algorithm = state.algorithm(parts.algorithm)
        drawn = draw(
            parts.stream,
            parts.rollouts,
            algorithm,
            recipe.rewards,
            wanted=recipe.trainer.prompts_per_step,
            surplus=state.surplus,
            position=session.position,
            step=step,
            watch=session,
        )
        session.folder.write_rollouts(step, rollouts.records(step, drawn.sampled))

        drafts = samples.drafts(drawn.kept, recipe.rewards)
        measured = measure(
            drafts, algorithm, trainer, parts.reference, critic, updates=recipe.updates_per_step(), watch=session
        )
        experience = samples.experience(drawn.kept, drafts, measured, recipe.rewards, longest, algorithm)
        credit = algorithm.advantages(experience)
        learned = samples.by_group(drawn.kept, samples.finished(drafts, measured, credit))
        metrics = samples.metrics(drawn.kept, experience, credit, recipe.rewards, longest, version=session.done)

        minibatches = to_minibatches(learned, recipe.trainer, algorithm.mean, longest)
        with session.clock("update"):
            metrics |= update(
                trainer, minibatches * epochs, algorithm.loss, algorithm.learns_from, session.before_update
            )
        if critic is not None and recipe.critic is not None:
            with session.clock("critic"):
                metrics |= update_critic(critic, learned, recipe.critic)
        with session.clock("sync"):
            parts.publish(step)

        metrics |= rollouts.summary(drawn.sampled, parts.rollouts.verifiers) | drawn.metrics()
        metrics |= speed.rollout_metrics(parts.flops, drawn.sampled, session.seconds("rollout"), rate)
        seconds = session.seconds("update")
        metrics |= speed.update_metrics(parts.flops, minibatches, algorithm.learns_from, epochs, seconds, rate)
        metrics |= state.advance(drawn.kept, drawn.surplus, metrics, recipe.algorithm)
        session.finish_step(drawn.prompts, metrics, headline(metrics))
        alarm(metrics)
        evaluate(parts.evaluator, parts.rollouts.engine, parts.rollouts.pool, parts.evaluated(step), session)
