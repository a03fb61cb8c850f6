import type { Clock } from '../ports/index.ts';

export interface RegistryOptions {
  /** `http` in place of `https`, for registries on this machine and in a closed network. */
  readonly plainHttp: boolean;
  /** For registries that ask who one is; sent to the registry and to the token server that it names, if that is https. */
  readonly credentials?: { readonly user: string; readonly password: string };
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>;
  /** Told before the registry's wish to be asked later is granted. */
  readonly onWait?: (delayMs: number) => void;
}
