import {
  decodeState,
  type DeviceState,
  emptyState,
  encodeState,
  keepNewerTrust,
  type StateKeeper,
} from '../deploy/index.ts';
import type { StateSlots } from '../store/index.ts';
import { inTurn } from './in-turn.ts';

export interface StateFile extends StateKeeper {
  /**
   * Saves what `change` makes of the newest state. For those who do not know what a deployment
   * saves meanwhile; a deployment that does not know of them takes no root and no trusted version
   * back.
   */
  update(change: (state: DeviceState) => DeviceState): Promise<void>;
}

/**
 * Opens the device's state. A device that was never commanded has none. One whose state is damaged,
 * or of a later version of wherry, refuses to guess: forgetting the trusted version would let an
 * old command in.
 *
 * @throws Refusal `state-unreadable`
 */
export async function openState(slots: StateSlots): Promise<StateFile> {
  const saved = await slots.read();
  let state: DeviceState = saved === undefined ? emptyState : decodeState(saved.body);
  const turn = inTurn();
  const write = async (next: DeviceState): Promise<void> => {
    const body = encodeState(next);
    decodeState(body); // what could not be read again would keep wherryd from every later start
    await slots.write(body);
    state = next;
  };
  return {
    get state() {
      return state;
    },
    save: (next) => turn(() => write(keepNewerTrust(next, state))),
    update: (change) => turn(() => write(change(state))),
  };
}
