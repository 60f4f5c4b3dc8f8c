// The order in which packets of a namespace reach the sockets of this node.
import { throwLater } from "../../support/ask";

interface Step {
  readonly run: () => void;
  /** `now`: it has its whole effect at once; `promise`: it settles a promise; `alone`: so, and nothing else may do so in this turn. */
  readonly kind: "now" | "promise" | "alone";
}

/**
 * Runs steps in the order in which they were added. What waits for a promise runs before the next step: a step that settles one ends the turn of
 * the event loop, unless the next one does so, too.
 */
export class DeliveryOrder {
  private readonly steps: Step[] = [];
  private isHeld = false;

  add(kind: Step["kind"], run: () => void): void {
    this.steps.push({ kind, run });
    if (!this.isHeld) this._work();
  }

  /** @internal */
  _work(): void {
    this.isHeld = false;
    let last: Step["kind"] = "now";
    for (let step = this.steps[0]; step !== undefined; step = this.steps[0]) {
      if (last === "alone" || (last === "promise" && step.kind !== "promise")) break;
      this.steps.shift();
      last = step.kind;
      try {
        step.run();
      } catch (thrown) {
        throwLater(thrown); // of a listener of the program
      }
    }
    if (last === "now") return;
    this.isHeld = true;
    setImmediate(work, this);
  }
}

function work(order: DeliveryOrder): void {
  order._work();
}
