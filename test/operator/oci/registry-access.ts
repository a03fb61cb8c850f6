import { Credentials } from '../../../src/wire/http/credentials.ts';
import { openHttpClient } from '../../../src/wire/http/http-client.ts';
import type { FromOciOptions } from '../../../src/operator/oci/from-oci.ts';
import { systemClock } from '../../support/system-clock.ts';

/** How tests reach registries: on loopback, without a proxy. */
export const registryAccess: FromOciOptions['registry'] = {
  plainHttp: true,
  clock: systemClock,
  http: openHttpClient({ clock: systemClock, credentials: new Credentials() }),
};
