import { decodeState, type DeviceState, emptyState, encodeState, type StateKeeper } from '../deploy/index.ts';
import type { StateSlots } from '../store/index.ts';

/**
 * Opens the device's state. A device that was never commanded has none. One whose state is damaged, or of a later version of
 * wherry, refuses to guess: forgetting the trusted version would let an old command in.
 *
 * @throws Refusal `state-unreadable`
 */
export async function openState(slots: StateSlots): Promise<StateKeeper> {
  const saved = await slots.read();
  let state: DeviceState = saved === undefined ? emptyState : decodeState(saved.body);
  return {
    get state() {
      return state;
    },
    save: async (next) => {
      const body = encodeState(next);
      decodeState(body); // what could not be read again would keep wherryd from every later start
      await slots.write(body);
      state = next;
    },
  };
}
