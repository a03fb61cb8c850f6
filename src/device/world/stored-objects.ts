import { type DeviceState, referencedObjects, type ReplacedObject } from '../deploy/index.ts';
import type { Journal } from '../../core/ports/index.ts';
import type { DamagedImage } from '../../wire/report/index.ts';
import type { ImageStore, StoredObject } from '../store/index.ts';
import type { Systemd } from '../systemd/index.ts';

export interface StoredObjectsPorts {
  readonly systemd: Systemd;
  readonly store: ImageStore;
  readonly journal: Journal;
  /** The mount unit of an object. */
  readonly mountOf: (id: string) => string;
}

/**
 * The stored objects that wherryd has found damaged since it started, and those that it replaced
 * while the old one was mounted.
 */
export class StoredObjects {
  private readonly ports: StoredObjectsPorts;
  private readonly damage = new Map<string, DamagedImage>();
  private readonly outdated = new Set<string>();

  constructor(ports: StoredObjectsPorts) {
    this.ports = ports;
  }

  /** Objects that were damaged at their last check and have not been replaced since. */
  get damaged(): readonly DamagedImage[] {
    return [...this.damage.values()];
  }

  /**
   * Objects that were replaced on disk while the old one is still mounted or its mount unit has
   * failed.
   */
  get replaced(): readonly ReplacedObject[] {
    return [...this.outdated].map((id) => ({ id, mount: this.ports.mountOf(id) }));
  }

  /** Whether an object is undamaged, by a cheap check. A fault is logged and stays in `damaged`. */
  async intact(object: StoredObject): Promise<boolean> {
    const { store, journal } = this.ports;
    const refusal = await store.verifyCheaply(object);
    const { id, name } = object;
    if (refusal === undefined) {
      this.damage.delete(id);
      return true;
    }
    // The same fault is logged only once.
    if (this.damage.get(id)?.message !== refusal.message)
      journal.log('error', refusal.message, { WHERRY_CODE: refusal.code });
    this.damage.set(id, { imageId: id, name, message: refusal.message });
    return false;
  }

  /** Checks every object that a deployment needs. */
  async check(state: DeviceState): Promise<void> {
    const referenced = referencedObjects(state);
    for (const object of [...state.images, ...(state.trees ?? [])]) {
      if (referenced.has(object.id)) await this.intact(object);
    }
  }

  /** Records that a new object with this ID was stored. */
  async stored(id: string): Promise<void> {
    this.damage.delete(id);
    const { activeState } = await this.ports.systemd.status(this.ports.mountOf(id));
    if (activeState !== 'inactive') this.outdated.add(id);
  }

  /** Records that the old object is no longer mounted. */
  unmounted(id: string): void {
    this.outdated.delete(id);
  }
}
