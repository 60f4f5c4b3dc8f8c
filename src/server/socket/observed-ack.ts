// An acknowledgement that subscribers of diagnostics channels see.
import { ackEnd, ackStart, type AckMessage } from "../channels";
import { runSpanned } from "../../support/channel";
import { leaveOf, withLeave, type AckCallback } from "./acks";

export function isAckObserved(): boolean {
  return ackStart.hasSubscribers || ackEnd.hasSubscribers;
}

/**
 * Publishes that an acknowledgement is waited for.
 * @param hasError  whether the callback gets an error or null first
 * @param hasArray  whether it then gets the values of all clients as one array
 * @returns the callback to use instead: it also publishes the end
 */
export function observedAck(
  socket: AckMessage["socket"],
  namespace: AckMessage["namespace"],
  event: string,
  callback: AckCallback,
  hasError: boolean,
  hasArray = false,
): AckCallback {
  const message: AckMessage = { socket, namespace, event, values: undefined, error: undefined, run: null };
  ackStart.publish(message);
  const end = (error: unknown, values: readonly unknown[] | undefined, call: () => void): void => {
    message.error = error ?? undefined;
    message.values = values;
    ackEnd.publish(message);
    runSpanned(message, call);
  };
  const observed = function (this: unknown, ...values: any[]): void {
    const call = (): void => callback.apply(this, values);
    if (!hasError) end(undefined, values, call);
    else if (values[0]) end(values[0], undefined, call);
    else end(undefined, hasArray ? values[1] : values.slice(1), call);
  };
  const onLeave = leaveOf(callback);
  return onLeave === undefined
    ? observed
    : withLeave(observed, (error) => end(error ?? new Error("socket has been disconnected"), undefined, () => onLeave(error)));
}
