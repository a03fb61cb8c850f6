import { decodeState, type DeviceState, emptyState, encodeState, type StateKeeper } from '../deploy/index.ts';
import type { StateSlots } from '../store/index.ts';

/**
 * Opens the device's state. A device that was never commanded has none; one whose slots are both damaged refuses to guess
 * (`state-unreadable`), because forgetting the trusted version would let an old command in.
 */
export async function openState(slots: StateSlots): Promise<StateKeeper> {
  const saved = await slots.read();
  let state: DeviceState = saved === undefined ? emptyState : decodeState(saved.body);
  return {
    get state() {
      return state;
    },
    save: async (next) => {
      await slots.write(encodeState(next));
      state = next;
    },
  };
}
