import type { IncomingMessage } from 'node:http';
import type { Clock } from '../../core/ports/index.ts';

export interface RegistryOptions {
  /** `http` in place of `https`, for registries on this machine and in a closed network. */
  readonly plainHttp: boolean;
  /**
   * For registries that require authentication; sent to the registry, or to the token server that
   * it names if that is https.
   */
  readonly credentials?: { readonly user: string; readonly password: string };
  readonly http: RegistryHttp;
  readonly clock: Pick<Clock, 'nowMs' | 'sleep'>;
  /** Called before a wait that the registry requested. */
  readonly onWait?: (delayMs: number) => void;
}

/** The way to a registry, through whatever proxy. */
export interface RegistryHttp {
  /**
   * One GET; redirects are not followed, and any status is an answer.
   *
   * @param patienceMs how long the head may take, and each pause of the body
   * @throws Refusal `download-failed` when no answer came
   */
  getOnce(
    address: string,
    headers: Readonly<Record<string, string>>,
    patienceMs: number,
  ): Promise<{ readonly status: number; readonly body: IncomingMessage }>;
}
