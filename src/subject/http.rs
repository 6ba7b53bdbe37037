//! Questions to members over HTTP: is it ready, and what are its metrics?

use std::time::Duration;

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(1);

/// The most that is read of an answer.
const MOST: u64 = 16 << 20;

/// GETs the URL. `Err`: what came instead of a status of 2xx.
pub async fn answers(url: &str) -> Result<(), String> {
    ask(url, |_| Ok(())).await
}

/// The text that stands at the URL. `Err`: what came instead of a status of 2xx and a text.
pub async fn get(url: &str) -> Result<String, String> {
    ask(url, |body| body.with_config().limit(MOST).read_to_string()).await
}

async fn ask<T: Send + 'static>(url: &str, read: fn(&mut ureq::Body) -> Result<T, ureq::Error>) -> Result<T, String> {
    let asked = url.to_owned();
    // The client blocks.
    let answer = tokio::task::spawn_blocking(move || {
        let config = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).max_redirects(0).build();
        let mut answer = ureq::Agent::new_with_config(config).get(&asked).call()?;
        Ok::<_, ureq::Error>((answer.status().as_u16(), read(answer.body_mut())?))
    });
    match answer.await.map(|answer| answer.map_err(|error| error.to_string())) {
        Ok(Ok((status, read))) if (200..300).contains(&status) => Ok(read),
        Ok(Ok((status, _))) => Err(format!("{url} answers {status}")),
        Ok(Err(reason)) => Err(format!("{url}: {reason}")),
        Err(panic) => Err(format!("{url}: {panic}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn only_a_status_of_2xx_is_ready() {
        let server = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/health", server.local_addr().unwrap());
        tokio::spawn(async move {
            for status in ["503 Service Unavailable", "302 Found", "204 No Content"] {
                let (mut client, _) = server.accept().await.unwrap();
                let mut request = [0; 1024];
                let size = client.read(&mut request).await.unwrap();
                assert!(request[..size].starts_with(b"GET /health HTTP/1.1"));
                let answer =
                    format!("HTTP/1.1 {status}\r\nlocation: /\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                client.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        for expected in ["503", "302"] {
            let seen = answers(&url).await.unwrap_err();
            assert!(seen.contains(expected), "{seen}");
        }
        answers(&url).await.unwrap();
        assert!(answers("http://127.0.0.1:9/").await.is_err(), "nobody is there");
    }
}
