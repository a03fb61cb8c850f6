import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { load } from 'js-yaml';

const file = join(import.meta.dirname, '../../docs/local-api.yaml');

interface Operation {
  readonly requestBody?: { readonly content: Content };
  readonly responses: Readonly<Record<string, { readonly content: Content }>>;
}
type Content = Readonly<Record<string, { readonly schema: object }>>;

export interface Exchange {
  readonly method: string;
  readonly path: string;
  readonly sent?: unknown;
  readonly status: number;
  readonly body: unknown;
}

export interface DescribedApi {
  /** `METHOD /path` of every operation. */
  readonly operations: readonly string[];
  /** The differences between an exchange and the description; empty if there are none. */
  readonly faults: (exchange: Exchange) => readonly string[];
  /** The same for one line of an answer that is a stream. */
  readonly lineFaults: (method: string, path: string, line: unknown) => readonly string[];
}

/** docs/local-api.yaml, after a check that it is valid OpenAPI. */
export async function describedApi(): Promise<DescribedApi> {
  const validator = new Validator();
  const { valid, errors } = await validator.validate(
    load(readFileSync(file, 'utf8')) as Record<string, unknown>,
  );
  if (!valid) throw new Error(`docs/local-api.yaml is not OpenAPI: ${JSON.stringify(errors)}`);
  const { paths } = validator.resolveRefs() as unknown as {
    readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  };
  // Formats are for readers.
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  const check = (what: string, content: Content | undefined, value: unknown): readonly string[] => {
    const schema = content?.['application/json']?.schema;
    if (schema === undefined) return [`${what} is not described`];
    if (ajv.validate(schema, value)) return [];
    return [`${what}: ${ajv.errorsText()} in ${JSON.stringify(value)}`];
  };
  const all = Object.entries(paths).flatMap(([path, item]) =>
    ['get', 'put', 'post', 'delete'].flatMap((method) => {
      const operation = item[method];
      return operation === undefined ? [] : [{ path, method: method.toUpperCase(), operation }];
    }),
  );
  const operationAt = (method: string, path: string) =>
    all.find((one) => one.method === method && patternOf(one.path).test(path));
  return {
    lineFaults: (method, path, line) => {
      const content = operationAt(method, path)?.operation.responses['200']?.content;
      const schema = content?.['application/x-ndjson']?.schema;
      if (schema === undefined) return [`the lines of ${method} ${path} are not described`];
      return ajv.validate(schema, line) ? [] : [`${ajv.errorsText()} in ${JSON.stringify(line)}`];
    },
    operations: all.map(({ path, method }) => `${method} ${path}`),
    faults: ({ method, path, sent, status, body }) => {
      const [plain = ''] = path.split('?');
      const found = operationAt(method, plain);
      if (found === undefined) {
        // The API refuses unknown paths with the same message.
        const any = all[0]?.operation.responses['default'];
        return status < 400
          ? [`${method} ${path} is not described`]
          : check('the refusal', any?.content, body);
      }
      const { requestBody, responses } = found.operation;
      const answer = responses[String(status)] ?? responses['default'];
      return [
        ...(status === 200 && sent !== undefined ? check('the request', requestBody?.content, sent) : []),
        ...(answer === responses['default'] && status < 400 ? [`the status ${status} is not described`] : []),
        ...check(`the answer ${status}`, answer?.content, body),
      ];
    },
  };
}

/** Literal paths are first in the document, so `/v1/pods/{pod}` does not shadow a longer one. */
function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(/\{[a-z]+\}/g, '[^/]+')}$`);
}
