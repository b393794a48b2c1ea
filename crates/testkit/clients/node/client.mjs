// isomorphic-git, behind the command line that all client drivers have:
//
//     clone URL DIR | fetch DIR | push DIR REFSPEC
//
// The credential is $TOKEN: the password of Basic, or a bearer where $SCHEME says so. What the server says on
// the side-band, and every error in the library's own words, goes to stderr.

import fs from 'node:fs'
import git from 'isomorphic-git'
import http from 'isomorphic-git/http/node'

const { TOKEN, SCHEME } = process.env
const common = {
  fs,
  http,
  headers: SCHEME === 'bearer' ? { Authorization: `Bearer ${TOKEN}` } : {},
  onAuth: SCHEME === 'basic' ? () => ({ username: 'oidc', password: TOKEN }) : undefined,
  onMessage: (message) => process.stderr.write(message),
}

const commands = {
  clone: (url, dir) => git.clone({ ...common, url, dir }),
  fetch: (dir) => git.fetch({ ...common, dir, remote: 'origin' }),
  push: (dir, refspec) => {
    const force = refspec.startsWith('+')
    const [ref, remoteRef] = refspec.slice(force ? 1 : 0).split(':')
    // Its way to delete is a flag.
    const change = ref === '' ? { ref: remoteRef, delete: true } : { ref }
    return git.push({ ...common, dir, remote: 'origin', remoteRef, force, ...change })
  },
}

const [command, ...args] = process.argv.slice(2)
try {
  await commands[command](...args)
} catch (error) {
  const said = error.data?.response ?? ''
  process.stderr.write(`\n${error.name}: ${error.message}\n${said}\n`)
  process.exitCode = 1
}
