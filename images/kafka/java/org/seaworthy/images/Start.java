package org.seaworthy.images;

import org.apache.kafka.common.utils.Exit;
import org.apache.logging.log4j.Level;
import org.apache.logging.log4j.core.config.Configurator;

/**
 * Runs, in one JVM instead of two, what the official image's launcher runs: Kafka's own
 * {@code KafkaDockerWrapper setup} (KAFKA_* variables to configuration, then format the
 * storage), and the broker. As there, storage that is formatted already is no error: a
 * restarted broker comes back with its log.
 */
public final class Start {
    private static final String FINAL = "/opt/kafka/config";
    private static final String MOUNTED = "/mnt/shared/config";

    /** What the setup does instead of ending the JVM. */
    private static final class SetupEnded extends Error {
        final int code;

        SetupEnded(int code, String message) {
            super(message, null, false, false);
            this.code = code;
        }
    }

    private Start() {}

    public static void main(String[] args) {
        // The setup parses the whole configuration, and would log all of it once more.
        Configurator.setAllLevels("", Level.WARN);
        setUp();
        // The setup has written the logging's configuration, too.
        Configurator.reconfigure();
        kafka.Kafka.main(new String[] {FINAL + "/server.properties"});
    }

    private static void setUp() {
        Exit.setExitProcedure((code, message) -> {
            throw new SetupEnded(code, message);
        });
        try {
            kafka.docker.KafkaDockerWrapper.main(new String[] {
                "setup",
                "--default-configs-dir", "/etc/kafka/docker",
                "--mounted-configs-dir", MOUNTED,
                "--final-configs-dir", FINAL,
            });
        } catch (SetupEnded end) {
            String message = String.valueOf(end.getMessage());
            if (end.code != 0 && !message.contains("already formatted")) {
                Runtime.getRuntime().halt(end.code);
            }
        } finally {
            // Not Exit.resetExitProcedure(): after it, Kafka's exits throw instead of exiting.
            Exit.setExitProcedure((code, message) -> Runtime.getRuntime().exit(code));
        }
    }
}
