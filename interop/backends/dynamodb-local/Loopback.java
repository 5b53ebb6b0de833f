import com.amazonaws.services.dynamodbv2.local.main.ServerRunner;
import com.amazonaws.services.dynamodbv2.local.server.DynamoDBProxyServer;
import java.util.concurrent.CountDownLatch;
import org.eclipse.jetty.server.Connector;
import org.eclipse.jetty.server.Server;
import org.eclipse.jetty.server.ServerConnector;

/**
 * Starts DynamoDB Local on 127.0.0.1 alone: its own main binds every interface and takes no address.
 * The arguments are those of its main.
 */
public final class Loopback {
    private Loopback() {}

    public static void main(String[] args) throws Exception {
        DynamoDBProxyServer dynamodb = ServerRunner.createServerFromCommandLineArgs(args);
        for (Connector connector : jetty(dynamodb).getConnectors()) {
            ((ServerConnector) connector).setHost("127.0.0.1");
        }
        dynamodb.start();
        new CountDownLatch(1).await();
    }

    /** Finds the HTTP server inside, whatever its field is named. */
    private static Server jetty(DynamoDBProxyServer dynamodb) throws IllegalAccessException {
        for (var field : DynamoDBProxyServer.class.getDeclaredFields()) {
            if (Server.class.isAssignableFrom(field.getType())) {
                field.setAccessible(true);
                return (Server) field.get(dynamodb);
            }
        }
        throw new IllegalStateException("this release of DynamoDB Local has no Jetty server");
    }
}
