import java.io.File;
import java.io.OutputStreamWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.eclipse.jgit.api.Git;
import org.eclipse.jgit.api.TransportCommand;
import org.eclipse.jgit.lib.TextProgressMonitor;
import org.eclipse.jgit.transport.PushResult;
import org.eclipse.jgit.transport.RefSpec;
import org.eclipse.jgit.transport.RemoteRefUpdate;
import org.eclipse.jgit.transport.TransportHttp;
import org.eclipse.jgit.transport.UsernamePasswordCredentialsProvider;

/**
 * JGit, behind the command line that all client drivers have:
 *
 * <pre>clone URL DIR | fetch DIR | push DIR REFSPEC</pre>
 *
 * The credential is $TOKEN: the password of Basic, or a bearer where $SCHEME says so. What the server says on
 * the side-band, and every error in the library's own words, goes to stderr.
 */
public class Client {
    public static void main(String[] args) {
        int status = 0;
        try {
            for (String failure : run(args)) {
                System.err.println(failure);
                status = 1;
            }
        } catch (Exception error) {
            for (Throwable cause = error; cause != null; cause = cause.getCause()) {
                System.err.println(cause);
            }
            status = 1;
        }
        System.exit(status);
    }

    private static List<String> run(String[] args) throws Exception {
        if (args[0].equals("clone")) {
            authenticated(Git.cloneRepository().setURI(args[1]).setDirectory(new File(args[2]))).call().close();
            return List.of();
        }
        try (Git git = Git.open(new File(args[1]))) {
            switch (args[0]) {
                case "fetch":
                    authenticated(git.fetch()).call();
                    return List.of();
                case "push":
                    return push(git, args[2]);
                default:
                    throw new IllegalArgumentException("no such command: " + args[0]);
            }
        }
    }

    private static List<String> push(Git git, String refspec) throws Exception {
        var push = git.push().setRemote("origin").setRefSpecs(new RefSpec(refspec)).setOutputStream(System.err);
        push.setProgressMonitor(new TextProgressMonitor(new OutputStreamWriter(System.err)));
        var failures = new ArrayList<String>();
        for (PushResult result : authenticated(push).call()) {
            for (RemoteRefUpdate update : result.getRemoteUpdates()) {
                if (update.getStatus() != RemoteRefUpdate.Status.OK) {
                    String what = update.getStatus() + ": " + update.getRemoteName() + ": " + update.getMessage();
                    failures.add("rejected: " + what);
                }
            }
        }
        return failures;
    }

    private static <C extends TransportCommand<C, ?>> C authenticated(C command) {
        String token = System.getenv("TOKEN");
        if (System.getenv("SCHEME").equals("basic")) {
            return command.setCredentialsProvider(new UsernamePasswordCredentialsProvider("oidc", token));
        }
        var header = Map.of("Authorization", "Bearer " + token);
        return command.setTransportConfigCallback(
                transport -> ((TransportHttp) transport).setAdditionalHeaders(header));
    }
}
