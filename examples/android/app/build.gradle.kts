plugins {
    id("com.android.application")
    id("org.jetbrains.kotlin.android")
}

android {
    namespace = "org.maidepth"
    compileSdk = 35
    defaultConfig {
        applicationId = "org.maidepth"
        minSdk = 26
        targetSdk = 35
        versionCode = 1
        versionName = "1"
    }
    androidResources { noCompress += "tflite" } // the file is mapped into memory as it lies in the package
    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_17
        targetCompatibility = JavaVersion.VERSION_17
    }
    kotlinOptions { jvmTarget = "17" }
}

dependencies {
    implementation("androidx.activity:activity-ktx:1.9.3")
    implementation("androidx.camera:camera-camera2:1.4.1")
    implementation("androidx.camera:camera-lifecycle:1.4.1")
    implementation("androidx.core:core-ktx:1.15.0")
    implementation("com.google.ai.edge.litert:litert:1.4.0")
}
