import { readFileSync } from 'node:fs';
import tseslint from 'typescript-eslint';

/** Folders that decide but never act: those marked pure in the table of docs/architecture.md. */
const pure = readFileSync(new URL('docs/architecture.md', import.meta.url), 'utf8')
  .split('\n')
  .map((line) => /^\| \w+ \| `([\w/]+)` \| yes \|/.exec(line)?.[1])
  .filter((folder) => folder !== undefined);
if (pure.length === 0) throw new Error('docs/architecture.md names no pure folder');

export default tseslint.config(
  { ignores: ['node_modules/', 'build/**', 'coverage/', '**/*.js'] },
  {
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/no-unused-vars': ['error', { ignoreRestSiblings: true }],
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      // Comments wrap at 100 columns; Prettier wraps code. ESLint 11 moves this rule to @stylistic.
      'max-len': ['error', { code: 10_000, comments: 100, ignoreUrls: true }],
      'no-restricted-syntax': ['error', { selector: 'ExportDefaultDeclaration', message: 'Export by name.' }],
    },
  },
  {
    files: pure.map((folder) => `src/${folder}/*.ts`),
    rules: {
      'no-restricted-imports': [
        'error',
        {
          patterns: [
            {
              regex: '^node:(fs|net|http|https|child_process|tls|dgram)',
              message: 'This folder decides; it does no I/O.',
            },
          ],
        },
      ],
    },
  },
  { files: ['*.config.ts'], rules: { 'no-restricted-syntax': 'off' } },
);
